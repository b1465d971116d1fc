"""A training step of Mask R-CNN on images of COCO, with any contestant's backbone."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import Tensor

from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.machine import synchronize
from convnext_backbone.benchmark.peers import OURS, Contestant, build
from convnext_backbone.benchmark.shared_drop_path import KeptSamples
from convnext_backbone.config.checks import check_config
from convnext_backbone.config.loading import read_config, set_data_root
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.openmmlab.data_errors import data_errors_told

CONFIG = 'det/mask_convnext_t_coco'
DATA_VARIABLE = 'CONVNEXT_TEST_DATA'
LOSS_TOLERANCE = 0.02  # relative; proposals of nearly equal scores may swap


class DetectorStep:
    """Forward pass, losses, backward pass and a step of the optimizer, in fp32.

    The detector and the optimizer are those of :data:`CONFIG`, with the contestant's
    backbone and no pretrained weights. The learning rate is that of the first iteration
    of the warm-up, so small that all detectors stay equal up to rounding.

    Args:
        contestant: The backbone.
        arch: Its architecture.
        kept_samples: The samples that the blocks keep.
        batch: Images and annotations, from :func:`load_batch`.
    """

    def __init__(
        self, contestant: Contestant, arch: Arch, kept_samples: KeptSamples, batch: dict
    ) -> None:
        self.contestant = contestant
        self.kept_samples = kept_samples
        self.inputs: Tensor = batch['inputs']
        self.samples: list = batch['data_samples']
        # The heads get the same weights in every detector. The optimizer is built for
        # our backbone, because the parameter groups follow from our names, and then
        # gets the contestant's parameters.
        torch.manual_seed(0)
        self.model = _model(arch).to(self.inputs.device).train()
        ours = build(OURS, arch, kept_samples, contestant.params)
        self.model.backbone = ours.module
        self.optimizer = _optimizer(self.model)
        theirs = {id(p): contestant.params[key] for key, p in ours.params.items()}
        for group in self.optimizer.param_groups:
            group['params'] = [theirs.get(id(p), p) for p in group['params']]
        self.model.backbone = contestant.module.train()

    def loss(self, seed: int) -> Tensor:
        """Compute the sum of all losses."""
        self.contestant.seed(seed, self.kept_samples, len(self.inputs))
        np.random.seed(seed)
        losses = self.model.loss(self.inputs, copy.copy(self.samples))
        return self.model.parse_losses(losses)[0]

    def __call__(self, seed: int) -> dict[str, float]:
        """Run a step and return the seconds."""
        device = str(self.inputs.device)
        self.optimizer.zero_grad(set_to_none=True)
        synchronize(device)
        start = perf_counter()
        self.loss(seed).backward()
        self.optimizer.step()
        synchronize(device)
        seconds = perf_counter() - start
        self.optimizer.zero_grad(set_to_none=True)
        return {'train_step': seconds}


def check_losses(steps: Mapping[tuple, DetectorStep]) -> None:
    """Compare the losses of all detectors with those of the first.

    Raises:
        UserError: They differ by more than swapped proposals can explain.
    """
    with torch.no_grad():
        losses = {key: step.loss(0).item() for key, step in steps.items()}
    expected = next(iter(losses.values()))
    for (name, *_), loss in losses.items():
        if not abs(loss - expected) <= LOSS_TOLERANCE * abs(expected):
            raise UserError(
                f'{name}: the loss of its detector is {loss:.4f}, that of ours '
                f'{expected:.4f}, so nothing was timed; leave {name} out of --against'
            )


def find_data(data_root: str | None) -> str:
    """Return the folder of a data set in COCO's layout.

    Args:
        data_root: What the user gave; None takes the folder ``coco_mini`` in
            :data:`DATA_VARIABLE`.

    Raises:
        UserError: There is none, or its annotations do not fit.
    """
    if data_root is None and os.environ.get(DATA_VARIABLE):
        data_root = str(Path(os.environ[DATA_VARIABLE], 'coco_mini'))
    if data_root is None:
        raise UserError(
            f'--what step needs images: give --data-root, a folder in the layout of '
            f'COCO, or set {DATA_VARIABLE} to the folder that holds coco_mini'
        )
    annotations = Path(data_root, 'annotations', 'instances_train2017.json')
    with os_errors_told(f'--data-root {data_root}'):
        found = annotations.is_file()
    if not found:
        raise UserError(
            f'--data-root {data_root}: {annotations} does not exist; expected a folder '
            f'in the layout of COCO'
        )
    cfg = read_config(CONFIG)
    set_data_root(cfg, data_root)
    check_config(cfg, ('train',))
    return data_root


def load_batch(
    data_root: str, number: int, shape: tuple[int, int], device: str
) -> dict:
    """Load normalised crops with annotations, the same ones every time.

    Args:
        data_root: A folder in COCO's layout.
        number: Number of crops.
        shape: Their height and width, pixels.
        device: The device that they are moved to.

    Returns:
        ``inputs``, (N, 3, H, W), and ``data_samples``, as mmdet's detectors take them.

    Raises:
        UserError: The data set has too few images with annotations, or an image cannot
            be read.
    """
    cfg = read_config(CONFIG)
    set_data_root(cfg, data_root)
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        # The shorter side becomes at least as long as the crop.
        dict(type='Resize', scale=(10**6, max(shape)), keep_ratio=True),
        # mmdet's sizes are (width, height).
        dict(type='RandomCrop', crop_size=shape[::-1], allow_negative_crop=False),
        dict(type='PackDetInputs'),
    ]
    with (
        DefaultScope.overwrite_default_scope(cfg.default_scope),
        data_errors_told(f'--data-root {data_root}'),
    ):
        images = DATASETS.build(dataset)
        np.random.seed(0)
        found = []
        for i in range(len(images)):
            item = images.prepare_data(i)  # None if no object is in the crop
            if item is not None:
                found.append(item)
            if len(found) == number:
                break
        if len(found) < number:
            raise UserError(
                f'--data-root {data_root}: only {len(found)} images have annotations '
                f'in a crop of {shape[0]} x {shape[1]}, expected --batch {number}'
            )
        preprocessor = MODELS.build(cfg.model.data_preprocessor).to(device)
    return preprocessor(pseudo_collate(found), training=True)


def _model(arch: Arch) -> BaseModel:
    """Build the detector, with a minimal backbone that is to be replaced."""
    cfg = read_config(CONFIG)
    cfg.model.neck.in_channels = list(arch.channels)
    depths = (1,) * len(arch.depths)
    cfg.model.backbone.arch = dict(depths=depths, channels=arch.channels)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def _optimizer(model: BaseModel) -> torch.optim.Optimizer:
    """Build the config's optimizer with the learning rate at the start of warm-up."""
    cfg = read_config(CONFIG)
    cfg.optim_wrapper.type = 'OptimWrapper'
    warm_up = cfg.param_scheduler[0].start_factor
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # the constructor logs a table of the groups
    try:
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    finally:
        logger.setLevel(level)
    for group in optimizer.param_groups:
        group['lr'] *= warm_up
    return optimizer
