"""Looks at some masks before a segmentor is trained or evaluated.

Whether labels begin at 0 or at 1 is said by ``reduce_zero_label`` alone. Said wrongly,
every class is taken for its neighbour, and mmseg neither fails nor warns.
"""

import time
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset as Dataset
from mmengine.registry import DATASETS, TRANSFORMS, init_default_scope

from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.openmmlab.building import building
from convnext_backbone.openmmlab.class_order import class_names, list_names
from convnext_backbone.openmmlab.data_errors import data_errors_told

MASKS, SECONDS = 100, 5.0  # the most to look at in a data set
# With labels that begin at 0, the last class is one number lower. It is missing by
# chance too; so that it counts, nearly all other classes are there, or label 0 is much
# too frequent for pixels that nobody labelled.
OTHERS, ZEROS = 0.95, 0.2


def mask_label_warnings(cfg: Config, splits: tuple[str, ...]) -> list[str]:
    """Find data sets whose masks do not look as ``reduce_zero_label`` says.

    Args:
        cfg: A checked config, of a segmentor or another model.
        splits: The data loaders whose data sets to look at.

    Returns:
        A warning for each. A split whose masks have the last class speaks for those
        after it.

    Raises:
        UserError: The data cannot be read.
    """
    if cfg.get('default_scope') != 'mmseg':
        return []
    init_default_scope('mmseg')
    warnings, settled = [], False
    for split in splits:
        for config in iter_datasets(cfg.get(f'{split}_dataloader')):
            step = _loading_step(config.get('pipeline'))
            if step is None:
                continue
            with building(cfg.filename), data_errors_told(f'reading the {split} data'):
                dataset = DATASETS.build({**config, 'pipeline': []})
                # With a label map, the numbers in the files are those of the type.
                kind = type(dataset).METAINFO if dataset.label_map else dataset.metainfo
                names = class_names(kind)
                if not names or not len(dataset):
                    continue
                pixels, masks = count_labels(dataset, step)
            reduced = dataset.reduce_zero_label
            settled = settled or bool(reduced and pixels[len(names)])
            doubt = labels_beyond(pixels, names, reduced, dataset.ignore_index)
            if not doubt and reduced and not settled:
                doubt = begins_at_zero(pixels, names)
            if doubt:
                warnings.append(f'{masks} masks of the {split} data were read: {doubt}')
    return warnings


def labels_beyond(
    pixels: np.ndarray, names: Sequence[str], reduced: bool, ignore_index: int = 255
) -> str | None:
    """Tell which labels in masks are no classes.

    Args:
        pixels: The number of pixels of each label from 0 to 255, as in the files.
        names: The classes.
        reduced: Whether 0 is taken for unlabelled and 1 for the first class.
        ignore_index: Label that is not a class.
    """
    beyond = [
        label
        for label in np.flatnonzero(pixels).tolist()
        if label >= len(names) + reduced and label not in (ignore_index, 255)
    ]
    if not beyond:
        return None
    advice = 'number the masks so, or name all classes that they have'
    if not reduced and beyond == [len(names)]:
        advice = f'if 0 is no class and 1 is {names[0]!r}, set reduce_zero_label=True'
    return (
        f'{"label" if len(beyond) == 1 else "labels"} {list_names(beyond)} in them '
        f'{"is" if len(beyond) == 1 else "are"} no class; {_meaning(names, reduced)}: '
        f'{advice}, in the data set and in LoadAnnotations'
    )


def begins_at_zero(pixels: np.ndarray, names: Sequence[str]) -> str | None:
    """Tell what speaks against ``reduce_zero_label=True``.

    Args:
        pixels: The number of pixels of each label from 0 to 255, as in the files.
        names: The classes.
    """
    last = len(names)
    if not pixels[0] or pixels[last]:
        return None
    share = pixels[0] / pixels.sum()
    others = pixels[1:last] > 0
    if share < ZEROS and len(others) and others.mean() < OTHERS:
        return None
    return (
        f'label {last} is in none of them, and 0 covers {100 * share:.0f} % of the '
        f'pixels; {_meaning(names, True)}, 0 is neither learnt nor evaluated. If 0 is '
        f'{names[0]!r}, every class is taken for its neighbour: set '
        f'reduce_zero_label=False, in the data set and in LoadAnnotations'
    )


def count_labels(dataset: Dataset, step: dict) -> tuple[np.ndarray, int]:
    """Count the pixels of each label in masks spread over a data set.

    Args:
        dataset: One of mmseg's.
        step: The config of the transform that reads its masks.

    Returns:
        Counts of the labels 0 to 255 as they are in the files, and how many masks
        were read.
    """
    load = TRANSFORMS.build({**step, 'reduce_zero_label': None})
    pixels, read, begin = np.zeros(256, np.int64), 0, time.monotonic()
    for info in _spread(dataset):
        as_is: dict[str, object] = {
            'reduce_zero_label': False,
            'label_map': None,
            'seg_fields': [],
        }
        try:
            labels = load({**info, **as_is})['gt_seg_map']
        except (OSError, ValueError, SyntaxError):
            continue  # a file that cannot be read is told where it is used
        pixels += np.bincount(labels.ravel(), minlength=256)
        read += 1
        if time.monotonic() - begin > SECONDS:
            break
    return pixels, read


def _spread(dataset: Dataset) -> Iterator[dict]:
    """Yield what is known of up to so many samples, spread over a data set."""
    count = min(MASKS, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int):
        yield dataset.get_data_info(int(index))


def _loading_step(pipeline: object) -> dict | None:
    """Return the config of mmseg's LoadAnnotations in a pipeline, however deep."""
    if isinstance(pipeline, dict):
        kind = str(pipeline.get('type'))
        if kind.removeprefix('mmseg.') == 'LoadAnnotations':
            return pipeline
        return _loading_step(pipeline.get('transforms'))
    if isinstance(pipeline, list | tuple):
        found = map(_loading_step, pipeline)
        return next((step for step in found if step is not None), None)
    return None


def _meaning(names: Sequence[str], reduced: bool) -> str:
    """Say which numbers the first and the last class have."""
    last = len(names) - 1 + reduced
    return (
        f'with reduce_zero_label={reduced}, {int(reduced)} is {names[0]!r} and {last} '
        f'is {names[-1]!r}'
    )
