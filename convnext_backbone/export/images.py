"""The images that an export is checked, calibrated and timed on, as raw batches."""

from collections.abc import Sequence
from contextlib import suppress

import cv2
import torch
import torch.nn.functional as F
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.export.convert import STRIDE
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.openmmlab.data_errors import data_errors_told
from convnext_backbone.tasks.infer import build_pipeline, find_images

Size = tuple[int, int]  # height, width


def image_paths(cfg: Config, split: str, count: int) -> list[str]:
    """Choose images of a split, spread evenly over each of its data sets.

    Raises:
        UserError: The split has no image, or its files cannot be read.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    paths = []
    configs = list(iter_datasets(cfg.get(f'{split}_dataloader')))
    for config in configs:
        with data_errors_told(f'reading the {split} data'):
            dataset = DATASETS.build({**config, 'pipeline': []})
        wanted = min(len(dataset), max(1, count // len(configs)))
        chosen = [i * len(dataset) // wanted for i in range(wanted)]
        paths += [dataset.get_data_info(i)['img_path'] for i in chosen]
    if not paths:
        raise UserError(
            f'{cfg.filename}: the {split} data has no image; check data_root and '
            f'ann_file of {split}_dataloader, or give another --data-root'
        )
    return paths


def given_paths(inputs: Sequence[str], count: int) -> list[str]:
    """List the first images among files and folders that the user named.

    Raises:
        UserError: One does not exist, cannot be read, or holds no image.
    """
    with os_errors_told('reading --images'):
        return [str(image.path) for image in find_images(inputs)][:count]


class Loader:
    """Reads image files as the test pipeline of a config does.

    Args:
        cfg: The config.
        fill: (C, 1, 1), the raw value to pad with.
        crop: Larger images are cut to this size around their centre: the windows of a
            segmentor that slides them over the image. None keeps the size.
    """

    def __init__(self, cfg: Config, fill: Tensor, crop: Size | None) -> None:
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        self.pipeline: Compose = build_pipeline(cfg)
        self.fill = fill
        self.crop = crop

    def __call__(self, path: str, size: Size | None = None) -> Tensor:
        """Read an image.

        Args:
            path: The file.
            size: Height and width of the result, by cutting and padding. By default
                the image's own size, padded to multiples of 32.

        Returns:
            (1, C, H, W), float32, raw.

        Raises:
            UserError: The file is missing, damaged or not an image.
        """
        try:
            # Pillow finds files that are cut short, which OpenCV fills with grey; what
            # Pillow does not know may still be read by the pipeline.
            with suppress(UnidentifiedImageError), Image.open(path) as picture:
                picture.load()
            sample = self.pipeline(dict(img_path=path, img_id=0))
        except (AssertionError, OSError, SyntaxError, ValueError, cv2.error) as error:
            raise UserError(f'image {path} cannot be read: {error}') from error
        image = sample['inputs'].float()[None]
        image = cut(image, size or self.crop)
        return pad(image, size or padded(image.shape[-2:]), self.fill)


def cut(image: Tensor, size: Size | None) -> Tensor:
    """Cut (N, C, H, W) to its centre where it is larger than ``size``."""
    for dim, side in zip((2, 3), size or (), strict=False):
        excess = max(0, image.shape[dim] - side)
        image = image.narrow(dim, excess // 2, image.shape[dim] - excess)
    return image


def pad(image: Tensor, size: Size, fill: Tensor) -> Tensor:
    """Pad (N, C, H, W) at the right and the bottom with a value for each channel."""
    bottom, right = size[0] - image.shape[2], size[1] - image.shape[3]
    if not (bottom or right):
        return image
    return F.pad(image - fill, (0, right, 0, bottom)) + fill


def padded(size: Sequence[int]) -> Size:
    """Round a size up to multiples of 32."""
    # No division of negative numbers, which OpenVINO rounds up: models are traced here.
    height, width = ((side + STRIDE - 1) // STRIDE * STRIDE for side in size)
    return height, width


def window(cfg: Config) -> Size | None:
    """Return the size of the windows that a segmentor slides over an image.

    None for a model that takes an image as a whole.

    Raises:
        UserError: The test mode is 'slide' and the size of the windows is missing.
    """
    test_cfg = cfg.model.get('test_cfg') or {}
    if test_cfg.get('mode') != 'slide':
        return None
    if 'crop_size' not in test_cfg:
        raise UserError(
            f"{cfg.filename}: model.test_cfg has mode 'slide' and no crop_size: set it "
            f'to the height and width of the windows'
        )
    return tuple(test_cfg['crop_size'])


def default_size(cfg: Config, first: Tensor) -> tuple[Size, str]:
    """Choose the size of the input when the user gives none.

    Args:
        cfg: The config.
        first: An image from the test pipeline, (1, C, H, W).

    Returns:
        The size in multiples of 32, and what it was taken from.
    """
    crop = window(cfg)
    if crop:
        return padded(crop), 'the windows of test_cfg.crop_size'
    steps = next(iter_datasets(cfg.test_dataloader))['pipeline']
    for step in steps:
        scale = step.get('scale')
        if str(step['type']).endswith('Resize') and scale:
            sides = scale if isinstance(scale, list | tuple) else (scale, scale)
            return padded((min(sides), max(sides))), f'the test scale {tuple(sides)}'
    return padded(first.shape[-2:]), 'the first image'


def check_size(size: Sequence[int]) -> None:
    """Raise UserError unless height and width are positive multiples of 32."""
    if any(side <= 0 or side % STRIDE for side in size):
        near = padded([max(side, 1) for side in size])
        raise UserError(
            f'--shape {size[0]} {size[1]}: height and width must be multiples of '
            f'{STRIDE}, such as {near[0]} {near[1]}'
        )


def example(first: Tensor) -> Tensor:
    """Make a batch to trace a model with: two images of unequal sides, to be padded.

    torch.export would take equal sides as equal for ever, and as constant a size of 1
    (a side of 32 at stride 32) and a padding of 0.
    """
    height, width = (max(2 * STRIDE, min(side, 256)) for side in first.shape[-2:])
    width = width + STRIDE if width == height else width
    return torch.zeros(2, first.shape[1], height - 5, width - 9)
