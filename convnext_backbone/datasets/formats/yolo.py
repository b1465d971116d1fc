"""Reads YOLO's format: a text file an image, a line an object, box or polygon.

Of a pose data set the boxes are read and the keypoints left out.
"""

import contextlib
import functools
import itertools
from collections import Counter
from collections.abc import Iterator
from os.path import lexists
from pathlib import Path

from convnext_backbone.datasets.formats.layout import (
    folder_named,
    list_images,
    split_folders,
)
from convnext_backbone.datasets.formats.per_image import (
    Detected,
    images_by_stem,
    read_objects,
)
from convnext_backbone.datasets.formats.yolo_config import (
    NAME_FILES,
    Part,
    label_file,
    label_files,
    labels_of,
    read_config,
    stated_folders,
)
from convnext_backbone.datasets.formats.yolo_darknet import read_darknet
from convnext_backbone.datasets.formats.yolo_lines import (
    BOX,
    Line,
    find_keypoints,
    keypoint_shape,
    read_values,
)
from convnext_backbone.datasets.records import Fault, Instance, Item, Source
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import broken_link

LOOKED_AT = 200  # label files that tell whether polygons are keypoints


def find(root: Path) -> Source[Path] | None:
    """Recognise a data set in YOLO's format.

    Raises:
        UserError: It has no class names or unclear ones, or ``data.yaml`` leads to no
            images.
    """
    if not root.is_dir():
        return None
    file, config = read_config(root)
    darknet = read_darknet(root) if config is None else None
    if darknet is not None:
        file, config, stated, faults = darknet
    else:
        stated, faults = stated_folders(file, config)
    folders = stated or list(_folders(root, config))
    if not folders and config is None:
        return None
    if not folders:
        raise UserError(
            f'{file}: its train and val lead to no folder with images: give paths '
            f'relative to the file, as train: images/train'
        )
    if config is None and not any(label_files(part.labels) for part in folders):
        return None
    names = _names(root, file, config)
    keypoints = _keypoints(file, config)
    if config is not None:
        faults += _other_names(root, file, names)
    items: list[Item[Path]] = []
    for part in folders:
        found, more = _items(part, root)
        items += found
        faults += more
    if not items and not faults:
        return None
    faults += _unlabelled(items)
    splits = tuple(dict.fromkeys(part.split for part in folders if part.split))
    faults += _pose_faults(file, items, keypoints)
    read = functools.partial(read_item, names, keypoints)
    source = Source('yolo', 'det', root, items, names, read)
    source.faults, source.splits, source.reading = faults, splits, repr(keypoints)
    return source


def _keypoints(file: Path, config: dict | None) -> tuple[int, int] | None:
    """Return the shape of keypoints that data.yaml states."""
    try:
        return keypoint_shape((config or {}).get('kpt_shape'))
    except UserError as error:
        raise UserError(f'{file}: {error}') from None


def _pose_faults(
    file: Path, items: list[Item[Path]], keypoints: tuple[int, int] | None
) -> list[Fault]:
    """Tell that keypoints are left out, or that polygons must be keypoints."""
    if keypoints is not None:
        message = (
            f'states kpt_shape {list(keypoints)}: the boxes are read, the keypoints '
            f'are left out'
        )
        return [Fault('warning', 'keypoints', str(file), message)]
    labels = (i.annotation for i in items if i.annotation and i.annotation.is_file())
    shape = find_keypoints(
        line
        for label in itertools.islice(labels, LOOKED_AT)
        for line in _polygons(label)
    )
    if shape is None:
        return []
    message = (
        f'states no kpt_shape, but labels look like boxes with {shape[0]} keypoints of '
        f'{shape[1]} numbers: if they are, state kpt_shape: {list(shape)} in '
        f'data.yaml; if they are polygons, add a point to one of them'
    )
    return [Fault('error', 'keypoints', str(file), message)]


def _polygons(file: Path) -> Iterator[Line]:
    """Yield the lines of a label file that can be read."""
    for line in _lines(file):
        with contextlib.suppress(UserError):
            yield read_values(line.split()[1:], None)


def _items(part: Part, root: Path) -> tuple[list[Item[Path]], list[Fault]]:
    """Return the images of a part with their label files, and what has no image."""
    if part.listed is not None:
        places = [
            path.with_suffix('') if part.beside else labels_of(path, root)
            for path in part.listed
        ]
        pairs = zip(part.listed, map(label_file, places), strict=True)
        return [Item(path, file, part.split) for path, file in pairs], []
    found, faults = images_by_stem(part.images)
    files = {
        file.relative_to(part.labels).with_suffix('').as_posix(): file
        for file in label_files(part.labels)
    }
    items = [
        Item(path, files.pop(stem, part.labels / f'{stem}.txt'), part.split)
        for stem, path in found.items()
    ]
    for stem, file in files.items():
        message = (
            f'there is no image {part.images / stem}.jpg (or another suffix): add it, '
            f'or remove this file'
        )
        faults.append(Fault('error', 'missing-image', str(file), message))
    return items, faults


def _unlabelled(items: list[Item[Path]]) -> list[Fault]:
    """Return a warning for each folder of images without any label file.

    A single image without labels is background; a whole folder of them may have its
    labels elsewhere. A split without any label is an error of its own.
    """
    folders: dict[tuple[str, Path], list[Path]] = {}
    for item in items:
        labels = folders.setdefault((item.split, item.image.parent), [])
        labels.append(item.annotation)
    bare = {key for key, files in folders.items() if not any(map(lexists, files))}
    labelled = {split for split, _ in folders.keys() - bare}
    return [
        Fault(
            'warning',
            'no-annotation',
            str(folder),
            f'has {len(files)} images and no label file for any of them in '
            f'{files[0].parent}: they are taken as background, without any object',
        )
        for (split, folder), files in folders.items()
        if (split, folder) in bare and split in labelled - {'test'}
    ]


def read_item(
    names: tuple[str, ...],
    keypoints: tuple[int, int] | None,
    item: Item[Path],
    width: int,
    height: int,
) -> tuple[list[Instance], list[Fault]]:
    """Read an image's lines, see :mod:`.yolo_lines`.

    An image without a file has no objects.

    Args:
        names: The classes.
        keypoints: How many an object has, and the numbers of each; None for none.
        item: The image and its label file.
        width: Of the image, in pixels.
        height: Likewise.
    """
    from supervision.dataset.formats import yolo  # takes a second to load

    file = item.annotation
    if file.is_symlink() and not file.exists():
        message = f'{broken_link(file)}: restore the labels, or remove the link'
        return [], [Fault('error', 'broken-link', str(file), message)]
    if not file.exists():
        return [], []
    faults, objects = [], []
    for number, line in enumerate(_lines(file), start=1):
        words = line.split()
        if not words:
            continue
        id = f'line {number}'
        try:
            label = int(words[0])
        except ValueError:
            message = f'{line.strip()!r} does not begin with the number of a class'
            faults.append(Fault('error', 'bad-annotation', str(file), message, id))
            continue
        if not 0 <= label < len(names):
            message = (
                f'has class {label}, but there are {len(names)} names (0 to '
                f'{len(names) - 1}): correct it, or add the name'
            )
            faults.append(Fault('error', 'unknown-category', str(file), message, id))
            continue
        try:
            found = read_values(words[1:], keypoints)
        except UserError as error:
            faults.append(Fault('error', 'bad-annotation', str(file), str(error), id))
            continue
        if found.confidence is not None:
            message = (
                f'has {found.confidence:g} after the box, which is taken for the '
                f'confidence of a prediction and left out'
            )
            faults.append(Fault('warning', 'confidence', str(file), message, id))
        read = functools.partial(_read, yolo, label, found.values, (width, height))
        objects.append((id, names[label], read))
    instances, more = read_objects(objects, file, width, height)
    return instances, faults + more


def _read(
    yolo, label: int, values: tuple[float, ...], size: tuple[int, int]
) -> Detected:
    line = ' '.join(map(str, (label, *values)))
    found = yolo.yolo_annotations_to_detections([line], size, with_masks=False)
    if len(values) == BOX:
        return found, None
    return found, [value * size[i % 2] for i, value in enumerate(values)]


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding='utf-8-sig', errors='replace').splitlines()


def _names(root: Path, file: Path, config: dict | None) -> tuple[str, ...]:
    names: object
    if config is None:
        file, names = _names_by_line(root)
    else:
        names = config['names']
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise UserError(
                f'{file}: names must be numbered 0, 1, 2, ..., they are {list(names)}'
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f'{file}: names must be a list, got {names!r}')
    unclear = [name for name in names if not isinstance(name, str) or not name.strip()]
    if unclear:
        raise UserError(
            f'{file}: names has {unclear[0]!r}, expected text: name the class'
        )
    classes = tuple(names)
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise UserError(
            f'{file}: names has {twice[0]!r} more than once: give each class its own'
        )
    return classes


def _other_names(root: Path, file: Path, names: tuple[str, ...]) -> list[Fault]:
    """Tell that another file names the classes otherwise than data.yaml does."""
    try:
        other, listed = _names_by_line(root)
    except UserError:  # there is none, or it names nothing
        return []
    if listed == list(names):
        return []
    message = (
        f'lists the classes {", ".join(listed)}, and {file.name} has '
        f'{", ".join(names)}: the numbers in labels are read as in {file.name}; '
        f'correct or remove one of the files'
    )
    return [Fault('warning', 'names-differ', str(other), message)]


def _names_by_line(root: Path) -> tuple[Path, list[str]]:
    """Return the file of class names, one a line, and the names."""
    for folder in (root, folder_named(root, 'labels') or root):
        for name in NAME_FILES:
            file = folder / name
            if file.exists():
                names = [
                    line.strip()
                    for line in '\n'.join(_lines(file)).rstrip().split('\n')
                ]
                if '' in names and any(names):
                    raise UserError(
                        f'{file}: line {names.index("") + 1} is blank, and each line '
                        f'is a class: remove it, or name the class'
                    )
                return file, list(filter(None, names))
    raise UserError(
        f'{root} looks like YOLO data, but nothing states the class names: add '
        f'data.yaml with names, or classes.txt with one name a line'
    )


def _folders(root: Path, config: dict | None) -> Iterator[Part]:
    """Yield the usual folders of images and labels."""
    images, labels = folder_named(root, 'images'), folder_named(root, 'labels')
    if images is not None and labels is not None:
        inner = list(split_folders(images))
        if not inner:
            yield Part('', images, labels)
        for split, folder in inner:
            yield Part(split, folder, labels / folder.name)
        return
    inner = list(split_folders(root))
    for split, folder in inner:
        images, labels = folder_named(folder, 'images'), folder_named(folder, 'labels')
        if images is not None and labels is not None:
            yield Part(split, images, labels)
    if config is not None and not inner and list_images(root):
        yield Part('', root, root)  # labels beside the images
