"""Makes the demo data set: scenes drawn from a seed, in a folder of their own.

The folder serves detection and segmentation alike::

    OUT_DIR/
      images/training/*.png      images/validation/*.png
      annotations/train.json     annotations/val.json        COCO
      annotations/training/*.png annotations/validation/*.png    ADE20K
      dataset.json               what the data set was made from

Index PNGs follow ADE20K (``reduce_zero_label=True``): 1 is the background, which
is a class of its own here, 2 the first of `CLASSES`; 0, ADE20K's unlabelled
pixels, does not occur.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np

from convnext_backbone.demo_scenes import scenes, writers
from convnext_backbone.demo_scenes.shapes import CLASSES
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import make_folder

GENERATOR_VERSION = 1  # to be raised with every change of what a seed looks like

Split = Literal['train', 'val']
# split -> (ADE20K's name, COCO json). The order enters the random seeds.
SPLITS: dict[Split, tuple[str, str]] = {
    'train': ('training', 'train.json'),
    'val': ('validation', 'val.json'),
}

MANIFEST = 'dataset.json'
CONTENTS = {'images', 'annotations', MANIFEST}


class Manifest(TypedDict):
    """What a data set was made from: the content of its `MANIFEST`."""

    generator: str
    version: int  # `GENERATOR_VERSION`
    seed: int
    size: int  # pixels
    train: int  # pictures
    val: int  # pictures
    classes: list[str]


def demo_scene(split: Split, number: int, *, size: int, seed: int) -> scenes.Scene:
    """Draw one scene of the demo data set, whichever others there are.

    Args:
        split: Part of the data set.
        number: Index within the split.
        size: Height and width, pixels.
        seed: Seed of the data set.

    Returns:
        The scene.

    Raises:
        UserError: If such a scene cannot be drawn.
    """
    rng = np.random.default_rng([seed, list(SPLITS).index(split), number])
    return scenes.draw_scene(rng, size)


def make_demo_data(
    out_dir: str | Path,
    *,
    train: int = 660,
    val: int = 90,
    size: int = 192,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write the demo data set, all of it or nothing.

    Args:
        out_dir: Folder to create; the layout is the module's docstring.
        train: Number of training pictures.
        val: Number of validation pictures.
        size: Height and width of the pictures, pixels.
        seed: Same seed, same bytes; a smaller data set is a part of a larger one.
        overwrite: Replace a demo data set that was made from other parameters.
        progress: Called with (pictures written, pictures in all) after each.

    Returns:
        True if the data set was written, False if the folder held the very same
        one already.

    Raises:
        UserError: If a parameter makes no sense, the data set cannot be written, or
            the folder holds something else, and `overwrite` was not given or
            something in it is not ours to remove.
    """
    for name, value, least in (('train', train, 1), ('val', val, 1), ('seed', seed, 0)):
        if value < least:
            raise UserError(f'{name}={value}: expected at least {least}')
    scenes.check_size(size)
    manifest: Manifest = {
        'generator': 'convnext_backbone.demo_scenes',
        'version': GENERATOR_VERSION,
        'seed': seed,
        'size': size,
        'train': train,
        'val': val,
        'classes': list(CLASSES),
    }
    with os_errors_told(f'writing the demo data set {out_dir}'):
        out_dir = Path(out_dir).resolve()  # a link is to be kept, its target replaced
        if _is_complete(out_dir, manifest):
            return False
        _check_replaceable(out_dir, overwrite)
        _replace(out_dir, manifest, progress)
    return True


def _replace(
    out_dir: Path,
    manifest: Manifest,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the data set that a manifest describes in place of what is there."""
    make_folder(out_dir.parent)
    # Beside its destination, for renaming is atomic on one file system only.
    with tempfile.TemporaryDirectory(
        prefix=f'.{out_dir.name}-', dir=out_dir.parent
    ) as temporary:
        new, old = Path(temporary, 'new'), Path(temporary, 'old')
        _write(new, manifest, progress)
        if out_dir.exists():
            out_dir.rename(old)
        new.rename(out_dir)


def _write(
    root: Path,
    manifest: Manifest,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the data set that a manifest describes into a new folder."""
    total, done = sum(manifest[split] for split in SPLITS), 0

    def draw(split: Split) -> Iterator[scenes.Scene]:
        nonlocal done
        for number in range(manifest[split]):
            yield demo_scene(
                split, number, size=manifest['size'], seed=manifest['seed']
            )
            done += 1
            if progress is not None:
                progress(done, total)

    for split, (subset, json_name) in SPLITS.items():
        writers.write_split(root, subset, json_name, draw(split))
    text = json.dumps(manifest, indent=2) + '\n'
    (root / MANIFEST).write_text(text, encoding='utf-8')


def _is_complete(root: Path, manifest: Manifest) -> bool:
    """Tell whether a folder holds every file of the data set a manifest describes."""
    try:
        if json.loads((root / MANIFEST).read_text(encoding='utf-8')) != manifest:
            return False
    except (OSError, ValueError):
        return False
    return all(
        (root / 'annotations' / json_name).is_file()
        and all(
            (root / kind / subset / writers.image_name(number)).is_file()
            for kind in ('images', 'annotations')
            for number in range(manifest[split])
        )
        for split, (subset, json_name) in SPLITS.items()
    )


def _check_replaceable(root: Path, overwrite: bool) -> None:
    """Raise UserError unless a folder may be created or replaced."""
    if not root.exists():
        return
    if not root.is_dir():
        raise UserError(f'{root} is a file: give a folder to create')
    found = {path.name for path in root.iterdir()}
    if not found:
        return
    foreign = sorted(found - CONTENTS)
    if foreign or MANIFEST not in found:
        what = f'it holds {foreign[0]!r}' if foreign else f'it has no {MANIFEST}'
        raise UserError(
            f'{root} is not a demo data set alone ({what}), so it is left as it is: '
            'choose another folder, or empty this one yourself'
        )
    if not overwrite:
        raise UserError(
            f'{root} holds a demo data set that is incomplete or was made from other '
            'parameters: choose another folder, or overwrite it (--overwrite)'
        )
