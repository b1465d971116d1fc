"""Predicts on image files with a trained detector or segmentor."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from mmengine.utils import track_iter_progress
from torch import nn, no_grad

from convnext_backbone.checkpoints import load_trained
from convnext_backbone.predictions import to_json, write_json

SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'}


def infer(
    cfg: Config, checkpoint: str, inputs: list[str], out_dir: str, score_thr: float
) -> list[str]:
    """Predict on images; write a picture of each and ``predictions.json``.

    Args:
        cfg: The config that the model was trained with.
        checkpoint: The trained model.
        inputs: Image files and folders of them.
        out_dir: Receives ``predictions.json`` and the pictures, which keep the names
            of their images and their place in a given folder.
        score_thr: Least score of an instance in the pictures.

    Returns:
        The images that could not be read; each was reported in the log.

    Raises:
        ValueError: An input does not exist, a folder holds no image, or the
            checkpoint does not fit the config.
    """
    from convnext_backbone import visualize  # supervision takes a second to load

    images = list(find_images(inputs))
    logger = MMLogger.get_instance('infer', logger_name='mmengine')
    model = build_model(cfg, checkpoint)
    pipeline = build_pipeline(cfg)
    meta = model.dataset_meta
    predictions, failed = [], []
    for path, relative in track_iter_progress(images):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            failed.append(str(path))
            continue
        sample = predict(model, pipeline, image, str(path))
        predictions.append(to_json(sample, meta['classes']))
        picture = visualize.draw_sample(
            image, sample, 'pred', meta['classes'], meta.get('palette'), score_thr
        )
        target = Path(out_dir, relative).with_suffix('.png')
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), picture)
    write_json(Path(out_dir, 'predictions.json'), predictions)
    for path in failed:
        logger.error(f'{path} is not an image that OpenCV can read; skipped')
    logger.info(f'{len(predictions)} images predicted, see {out_dir}')
    return failed


def find_images(inputs: Iterable[str]) -> Iterable[tuple[Path, Path]]:
    """Yield each image with its path relative to the folder it was found in.

    Raises:
        ValueError: An input does not exist, or a folder holds no image.
    """
    for name in inputs:
        path = Path(name)
        if path.is_file():
            yield path, Path(path.name)
        elif path.is_dir():
            found = sorted(p for p in path.rglob('*') if p.suffix.lower() in SUFFIXES)
            if not found:
                raise ValueError(
                    f'{path} holds no image ({", ".join(sorted(SUFFIXES))})'
                )
            yield from ((p, p.relative_to(path)) for p in found)
        else:
            raise ValueError(f'{path} does not exist: give an image or a folder')


def build_model(cfg: Config, checkpoint: str) -> nn.Module:
    """Build a config's model in eval mode with a checkpoint's weights and classes."""
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.init_cfg = None
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    meta = load_trained(model, checkpoint).get('dataset_meta')
    if meta is None:  # a bare state dict: the config's own classes
        dataset = cfg.test_dataloader.dataset
        meta = DATASETS.build({**dataset, 'lazy_init': True}).metainfo
    model.dataset_meta = meta
    return model.to(get_device()).eval()


def build_pipeline(cfg: Config) -> Compose:
    """Build the test pipeline without the steps that need a file or annotations."""
    steps = [
        step
        for step in cfg.test_dataloader.dataset.pipeline
        if not step['type'].split('.')[-1].startswith('Load')
    ]
    return Compose(steps)


def predict(model: nn.Module, pipeline: Compose, image: np.ndarray, path: str) -> dict:
    """Predict on one image (H, W, 3), BGR; return the data sample as a dict."""
    shape = image.shape[:2]
    results = dict(img=image, img_path=path, img_id=0, img_shape=shape, ori_shape=shape)
    with no_grad():
        return model.test_step(pseudo_collate([pipeline(results)]))[0].to_dict()
