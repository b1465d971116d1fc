"""Draws images beside the augmented samples that a pipeline makes of them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import set_random_seed
from mmengine.structures import BaseDataElement

from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import check_writable
from convnext_backbone.foundation.png import write_png
from convnext_backbone.openmmlab.building import building
from convnext_backbone.openmmlab.coco_labels import labels_by_name
from convnext_backbone.openmmlab.compat import original_index
from convnext_backbone.results.drawing import (
    GAP,
    IGNORED,
    PAPER,
    contact_sheet,
    default_palette,
    draw_instances,
    draw_labels,
)
from convnext_backbone.results.names import image_folder, name_below

SAMPLES = 3  # of each image
TITLES = ('original', *(f'augmented {i + 1}' for i in range(SAMPLES)))
FIT = (420, 320)  # width and height that every picture is scaled to fit into
CAPTION = 20  # pixels below a picture
MIN_COLUMN = 170  # pixels, for the caption of a narrow picture
FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.4)


class Cell(NamedTuple):
    """A drawn sample, in the size it has on the sheet."""

    picture: np.ndarray
    caption: str
    objects: int  # their number; for segmentation that of the classes in the sample


class SampleDataset(Protocol):
    """What mmengine's data sets and their wrappers have in common."""

    @property
    def metainfo(self) -> dict:
        """Return the names of the classes, and more."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, index: int) -> dict:
        """Return a sample as the pipeline makes it."""

    def get_data_info(self, index: int) -> dict:
        """Return what the annotations have about a sample."""


@dataclass(frozen=True)
class Origin:
    """The innermost data set that an index leads to, and the index there."""

    dataset: SampleDataset
    index: int
    steps: list  # the transforms of the data set, then those of its wrappers


def browse(
    cfg: Config, split: str, out: Path, *, count: int = 16, seed: int = 0
) -> None:
    """Write a sheet of images, each beside samples that the pipeline made of it.

    Args:
        cfg: A checked config.
        split: Whose data loader's data set to draw, 'train', 'val' or 'test'.
        out: The PNG to write.
        count: Images to draw, spread over the data set; fewer if it has fewer.
        seed: Of the augmentation.

    Raises:
        UserError: ``out`` is no PNG or cannot be written, ``count`` is not positive,
            the config has no such data, it is empty or cannot be read, or the
            pipeline fails on an image.
    """
    if out.suffix.lower() != '.png':
        raise UserError(f'--out {out}: expected a file that ends in .png')
    if count < 1:
        raise UserError(f'--count {count}: expected at least 1')
    check_writable(out)
    logger = MMLogger.get_instance('browse', logger_name='mmengine')
    dataset = build_dataset(cfg, split)
    set_random_seed(seed)
    rows = [draw_row(dataset, index) for index in choose(dataset, count)]
    write_png(out, lay_out(rows))
    empty = sum(not cell.objects for row in rows for cell in row[1:])
    if empty:
        logger.warning(
            f'{empty} of the {len(rows) * SAMPLES} augmented samples drawn are left '
            f'without any object'
        )
    logger.info(f'{len(rows)} images of the {split} data drawn, see {out}')


def build_dataset(cfg: Config, split: str) -> SampleDataset:
    """Build the data set of a split with its wrappers and pipelines.

    Raises:
        UserError: The config has no such data set, its options are wrong, or it is
            empty or cannot be read.
    """
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        known = [
            k.removesuffix('_dataloader') for k in cfg if k.endswith('_dataloader')
        ]
        raise UserError(
            f'config {cfg.filename} has no {split}_dataloader: give --split as one of '
            f'{", ".join(known)}'
        )
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    loader = copy.deepcopy(loader)
    leaves = list(iter_datasets(loader))
    for leaf in leaves:
        leaf['serialize_data'] = False  # fails without images
    places = ', '.join(
        str(leaf.get('ann_file') or leaf.get('data_root')) for leaf in leaves
    )
    try:
        with (
            building(cfg.filename),
            os_errors_told(f'reading the {split} data {places}'),
            labels_by_name(loader),
        ):
            dataset = DATASETS.build(loader['dataset'])
            dataset.full_init()
    except UserError:
        raise
    except (AssertionError, KeyError, ValueError) as error:
        raise UserError(
            f'the annotations {places} of the {split} data cannot be read: '
            f'{type(error).__name__}: {error}: export or download them again'
        ) from error
    if not len(dataset):
        raise UserError(
            f'{split} data: no image is left of {places}: give images with objects of '
            f'the classes, or set filter_cfg=None in the data set'
        )
    return dataset


def locate(dataset: SampleDataset, index: int) -> Origin:
    """Find the innermost data set and the index there of a sample."""
    steps: list = []
    while True:
        pipeline = getattr(dataset, 'pipeline', [])
        steps = [*getattr(pipeline, 'transforms', pipeline), *steps]
        found = original_index(dataset, index)
        if hasattr(dataset, 'datasets') and isinstance(found, tuple):
            which, index = found
            dataset = dataset.datasets[which]
        elif hasattr(dataset, 'dataset') and isinstance(found, int):
            index = found
            dataset = dataset.dataset
        else:
            return Origin(dataset, index, steps)


def choose(dataset: SampleDataset, count: int) -> list[int]:
    """Choose indices that lead to different images, spread over the data set."""
    first: dict[tuple[int, int], int] = {}
    for index in range(len(dataset)):
        origin = locate(dataset, index)
        first.setdefault((id(origin.dataset), origin.index), index)
    indices = list(first.values())
    count = min(count, len(indices))
    spread = np.linspace(0, len(indices) - 1, count).round().astype(int)
    return [indices[i] for i in spread]


def draw_row(dataset: SampleDataset, index: int) -> list[Cell]:
    """Draw an image as it was annotated, then samples as the pipeline makes them.

    Raises:
        UserError: The pipeline fails or packs nothing, or classes have no names.
    """
    origin = locate(dataset, index)
    info = origin.dataset.get_data_info(origin.index)
    path = info['img_path']
    meta = origin.dataset.metainfo
    if not meta.get('classes'):
        raise UserError(
            f'the data set of {path} has no class names: set metainfo=dict('
            f'classes=(...)) in it'
        )
    names = [type(step).__name__ for step in origin.steps]
    if not any(name.startswith('Pack') for name in names):
        raise UserError(
            f'the pipeline for {path} is {", ".join(names)}: end it with '
            f'PackDetInputs or PackSegInputs'
        )
    try:
        original = info
        for step in origin.steps:
            if type(step).__name__.startswith(('Load', 'Pack')):
                original = step(original)
        samples = [dataset[index] for _ in range(SAMPLES)]
    except Exception as error:  # the user's own transforms may raise anything
        raise UserError(
            f'the pipeline fails on {path}: {type(error).__name__}: {error}'
        ) from error
    folder = image_folder(dataset)
    cells = [draw_cell(original, meta, name=name_below(path, folder))]
    for sample in samples:
        # A data set takes another image in place of one that the pipeline rejects.
        taken = sample['data_samples'].metainfo.get('img_path', path)
        name = '' if taken == path else name_below(taken, folder)
        cells.append(draw_cell(sample, meta, name, loads_after_resize(names)))
    return cells


def loads_after_resize(steps: Sequence[str]) -> bool:
    """Tell whether annotations stay in pixels of the original, as for evaluation."""
    resizes = [i for i, name in enumerate(steps) if 'Resize' in name]
    loads = [i for i, name in enumerate(steps) if 'LoadAnnotations' in name]
    return bool(resizes and loads) and resizes[0] < loads[-1]


def draw_cell(
    sample: dict, meta: dict, name: str = '', in_original: bool = False
) -> Cell:
    """Draw one sample as PackDetInputs or PackSegInputs returns it.

    Args:
        sample: Its inputs, BGR, and data sample.
        meta: The data set's ``metainfo``.
        name: Put before the size in the caption.
        in_original: Its annotations are in pixels of the original image.
    """
    image = to_image(sample['inputs'])
    size = np.array([image.shape[1], image.shape[0]])
    factor = min(FIT / size)
    fitted = np.maximum(1, (size * factor).round()).astype(int)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(image, fitted.tolist(), interpolation=how)
    data = sample['data_samples']
    scale, extent = np.ones(2), size
    if in_original:  # resized, and padded on the right and below
        original = np.array(data.ori_shape[1::-1])
        scale = np.array(data.metainfo.get('scale_factor', size / original))
        extent = original * scale
    width, height = (extent * fitted / size).round().astype(int)
    annotated = picture[:height, :width]
    drawn, objects, kind = draw_annotations(
        annotated, data, meta, np.tile(scale * fitted / size, 2)
    )
    annotated[:] = drawn

    caption = f'{size[0]}x{size[1]}, {kind}: {objects}'
    return Cell(picture, f'{name}: {caption}' if name else caption, objects)


def draw_annotations(
    image: np.ndarray, data: BaseDataElement, meta: dict, zoom: np.ndarray
) -> tuple[np.ndarray, int, str]:
    """Draw the ground truth of a data sample.

    Args:
        image: Drawn on, BGR.
        data: The data sample of mmdet or mmseg.
        meta: The data set's ``metainfo``.
        zoom: Pixels of the image for one of the boxes' in x, y, x, y.

    Returns:
        The picture, how many objects or classes it has, and which of both.
    """
    classes, palette = meta['classes'], meta.get('palette')
    if not isinstance(palette, list | tuple) or len(palette) < len(classes):
        palette = default_palette(len(classes))
    instances = data.get('gt_instances')
    if instances is not None and 'bboxes' in instances:
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes).numpy() * zoom
        labels = instances.labels.numpy()
        if 'masks' in instances:
            masks = instances.masks.to_ndarray()
            image = draw_instances(image, boxes, labels, classes, palette, masks=masks)
        image = draw_instances(image, boxes, labels, classes, palette)
        return image, len(boxes), 'objects'
    seg = data.get('gt_sem_seg')
    if seg is not None and 'data' in seg:
        labels = seg.data[0].numpy()
        image = draw_labels(image, labels, classes, palette)
        known = (labels >= 0) & (labels < len(classes)) & (labels != IGNORED)
        return image, len(np.unique(labels[known])), 'classes'
    return image, 0, 'objects'


def to_image(inputs: torch.Tensor) -> np.ndarray:
    """Turn a tensor (C, H, W), values 0 to 255, into a BGR image uint8."""
    image = inputs.permute(1, 2, 0).numpy()
    image = image[..., :3] if image.shape[2] > 2 else image[..., :1].repeat(3, axis=2)
    return np.ascontiguousarray(image.round().clip(0, 255).astype(np.uint8))


def lay_out(rows: Sequence[Sequence[Cell]]) -> np.ndarray:
    """Lay out rows of cells in columns, each row as high as its pictures."""
    widths = [
        max(MIN_COLUMN, *(cell.picture.shape[1] for cell in column))
        for column in zip(*rows, strict=True)
    ]
    strips: list[np.ndarray] = []
    for row in rows:
        height = max(cell.picture.shape[0] for cell in row) + CAPTION
        cells = [
            add_caption(cell, width, height)
            for cell, width in zip(row, widths, strict=True)
        ]
        strip = contact_sheet([cells], TITLES, height)
        strips.append(strip[-(height + GAP) :] if strips else strip)
    return cv2.vconcat(strips)


def add_caption(cell: Cell, width: int, height: int) -> np.ndarray:
    """Put a picture on paper of a size, its caption below it."""
    paper = np.full((height, width, 3), PAPER, np.uint8)
    rows, columns = cell.picture.shape[:2]
    paper[:rows, :columns] = cell.picture
    text = cell.caption
    while cv2.getTextSize(text, *FONT, 1)[0][0] > width:
        text = '...' + text[4:]
    cv2.putText(paper, text, (0, rows + 14), *FONT, (90, 90, 90), 1, cv2.LINE_AA)
    return paper
