"""Predicts on image files with a trained detector or segmentor."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.utils import track_iter_progress
from PIL import Image
from torch import no_grad

from convnext_backbone import checkpoints
from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.datasets.depth import dark_peak, describe_peak
from convnext_backbone.datasets.formats.layout import IMAGE_SUFFIXES
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.files import (
    as_written,
    broken_link,
    check_writable,
    find_broken_links,
    walk,
)
from convnext_backbone.foundation.json_files import write_json
from convnext_backbone.foundation.png import write_png
from convnext_backbone.openmmlab.building import building
from convnext_backbone.openmmlab.normalisation import normalisation_warning
from convnext_backbone.results import drawing
from convnext_backbone.results.predictions import to_json


class Found(NamedTuple):
    """An image to predict on.

    Attributes:
        path: Its file.
        name: What its picture is named after, below the folder of the pictures.
        given: Whether it was given itself, not found in a folder.
    """

    path: Path
    name: Path
    given: bool


def infer(
    cfg: Config,
    checkpoint: checkpoints.Source,
    inputs: list[str],
    out_dir: str,
    score_thr: float,
) -> list[str]:
    """Predict on images; write a picture of each and ``predictions.json``.

    Args:
        cfg: The config that the model was trained with.
        checkpoint: The trained model.
        inputs: Image files and folders of them.
        out_dir: Receives ``predictions.json`` and the pictures, which keep the names
            of their images and their place in a given folder; see
            :func:`find_images`.
        score_thr: Least score of an instance in the pictures.

    Returns:
        The images that could not be read; each was reported in the log.

    Raises:
        UserError: An input does not exist, a folder holds no image, the checkpoint
            does not fit the config, or ``out_dir`` cannot be written.
    """
    checkpoint = checkpoints.CheckpointRef.parse(checkpoint)
    checkpoints.fetch(checkpoint)  # a missing one is told before all else
    jobs = plan_outputs(find_images(inputs), Path(out_dir))
    result = Path(out_dir, 'predictions.json')
    check_writable(result)
    logger = MMLogger.get_instance('infer', logger_name='mmengine')
    for link, reason in broken_links(inputs):
        logger.warning(f'{link} {reason}: images behind it are left out')
    model, meta = build_model(cfg, checkpoint)
    pipeline = build_pipeline(cfg)
    predictions, failed = [], []
    dark: list[tuple[int, Path]] = []  # greatest value, image of 16 bits
    try:
        for path, target in track_iter_progress(jobs):
            try:
                image = read_image(path)
                greatest = dark_peak(path)
                dark += [] if greatest is None else [(greatest, path)]
                sample = predict(model, pipeline, str(path))
            except (OSError, ValueError, cv2.error) as error:
                failed.append(str(path))
                logger.error(f'{path} cannot be predicted and is skipped: {error}')
                continue
            predictions.append(to_json(sample, meta['classes']))
            drawn = drawing.draw_sample(
                image, sample, 'pred', meta['classes'], meta.get('palette'), score_thr
            )
            write_png(target, drawn)
    finally:
        write_json(result, predictions)
    if dark:
        greatest, path = max(dark)
        logger.warning(
            f'{len(dark)} images of 16 bits, such as {path}, {describe_peak(greatest)}'
        )
    logger.info(f'{len(predictions)} images predicted, see {out_dir}')
    return failed


def read_image(path: Path) -> np.ndarray:
    """Read an image with OpenCV, uint8 (H, W, 3) in BGR, upright.

    Raises:
        UserError: It cannot be decoded, or not to its end, which OpenCV would fill up.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
    except Exception as error:  # Pillow raises whatever a broken file leads it to
        reason = broken_link(path) or f'cannot be decoded ({error})'
        raise UserError(f'it {reason}') from error
    image = cv2.imread(str(path))
    if image is None:
        raise UserError('it cannot be decoded by OpenCV: save it as PNG')
    return image


def plan_outputs(images: Iterable[Found], out_dir: Path) -> list[tuple[Path, Path]]:
    """Pair every image with the picture to be written for it.

    Args:
        images: What :func:`find_images` returns. Pictures of an earlier run, in folders
            below ``out_dir``, are left out when they were found in a folder.
        out_dir: Folder of the pictures.

    Raises:
        UserError: A picture would replace one of the images, or that of another.
    """
    earlier = out_dir.resolve()
    images = [
        image
        for image in images
        if image.given
        or len(image.name.parts) == 1
        or not image.path.parent.resolve().is_relative_to(earlier)
    ]
    originals = {image.path.resolve() for image in images}
    sources: dict[Path, Path] = {}
    for image in images:
        target = (out_dir / image.name).with_suffix('.png')
        if target.resolve() in originals:
            raise UserError(
                f'{target} is one of the images and would be overwritten: give another '
                f'--out-dir'
            )
        if target in sources:
            raise UserError(
                f'{sources[target]} and {image.path} would both be drawn to {target}: '
                f'predict on them one by one, into folders of their own'
            )
        sources[target] = image.path
    return [(path, target) for target, path in sources.items()]


def find_images(inputs: Iterable[str]) -> list[Found]:
    """Find the images that are given, or are in given folders, each once.

    An image is named by its path from the folder it was found in. If two would have
    one name then, as ``cam1/7.jpg`` and ``cam2/7.jpg`` given as files, all are named by
    their paths from the folder that all inputs have in common.

    Raises:
        UserError: An input does not exist, or a folder holds no image.
    """
    found: dict[Path, Found] = {}
    folders: list[Path] = []
    for name in inputs:
        path = Path(name)
        if path.is_file():
            folders.append(as_written(path).parent)
            found.setdefault(as_written(path), Found(path, Path(path.name), True))
        elif path.is_dir():
            files = sorted(p for p in walk(path) if p.suffix.lower() in IMAGE_SUFFIXES)
            if not files:
                raise UserError(
                    f'{path} holds no image ({", ".join(sorted(IMAGE_SUFFIXES))})'
                )
            folders.append(as_written(path))
            for file in files:
                image = Found(file, file.relative_to(path), False)
                found.setdefault(as_written(file), image)
        else:
            raise UserError(f'{path} does not exist: give an image or a folder')
    if len({image.name for image in found.values()}) < len(found):
        common = os.path.commonpath(folders)
        return [
            image._replace(name=path.relative_to(common))
            for path, image in found.items()
        ]
    return list(found.values())


def broken_links(inputs: Iterable[str]) -> Iterator[tuple[Path, str]]:
    """Yield each link in a folder that leads to no folder of images, and why."""
    for name in inputs:
        for link, reason in find_broken_links(Path(name)):
            if link.suffix.lower() not in IMAGE_SUFFIXES:
                yield link, reason


def build_model(cfg: Config, checkpoint: checkpoints.Source) -> tuple[BaseModel, dict]:
    """Build a config's model in eval mode with a checkpoint's weights.

    Returns:
        The model, and the ``metainfo`` of the data that it was trained on: the names
        of the classes and their palette.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    with building(cfg.filename):
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
    meta = checkpoints.load(model, checkpoint, strict=True).dataset_meta
    if meta is None:  # a bare state dict: the config's own classes
        dataset = next(iter_datasets(cfg.test_dataloader))
        meta = DATASETS.build({**dataset, 'lazy_init': True}).metainfo
    if warning := normalisation_warning(model):
        MMLogger.get_current_instance().warning(warning)
    return model.to(get_device()).eval(), meta


def build_pipeline(cfg: Config) -> Compose:
    """Build the test pipeline without the steps that need annotations.

    Raises:
        UserError: The config has no test data, or a wrong step in its pipeline.
    """
    dataset = next(iter_datasets(cfg.get('test_dataloader')), None)
    if dataset is None:
        raise UserError(
            f'{cfg.filename} has no test_dataloader: the pipeline of its data set says '
            f'how images are read'
        )
    steps = [step for step in dataset['pipeline'] if 'Annotations' not in step['type']]
    with building(cfg.filename):
        return Compose(steps)


def predict(model: BaseModel, pipeline: Compose, path: str) -> dict:
    """Predict on one image file; return the data sample as a dict."""
    with no_grad():
        batch = pseudo_collate([pipeline(dict(img_path=path, img_id=0))])
        return model.test_step(batch)[0].to_dict()
