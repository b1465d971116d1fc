"""A training step of Mask R-CNN on images of COCO, with anyone's backbone in it."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import Tensor, nn

from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.machine import synchronize
from convnext_backbone.benchmark.peers import OURS, Contestant, build
from convnext_backbone.benchmark.shared_drop_path import KeptSamples
from convnext_backbone.config.loading import read_config, set_data_root
from convnext_backbone.foundation.errors import UserError

CONFIG = 'det/mask_convnext_t_coco'
DATA_VARIABLE = 'CONVNEXT_TEST_DATA'
LOSS_TOLERANCE = 0.02  # proposals of nearly equal scores may change places


class DetectorStep:
    """Forward, losses, backward and a step of the optimizer, all in fp32.

    The detector is that of :data:`CONFIG`, its backbone a contestant's, its optimizer
    that of the config at the first iteration of the warm-up, so that all detectors stay
    the same to rounding. Pretrained weights are not loaded.

    Args:
        contestant: Whose backbone.
        arch: Of the backbone.
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
        # Heads have the same weights in every detector, and groups our names.
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
        """Run a step and tell the seconds."""
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
        UserError: They differ by more than exchanged proposals can explain.
    """
    with torch.no_grad():
        losses = {key: step.loss(0).item() for key, step in steps.items()}
    expected = next(iter(losses.values()))
    for (name, *_), loss in losses.items():
        if not abs(loss - expected) <= LOSS_TOLERANCE * abs(expected):
            raise UserError(
                f'{name}: the loss of its detector is {loss:.4f}, of ours '
                f'{expected:.4f}; nothing was timed'
            )


def find_data(data_root: str | None) -> str:
    """Return the folder of images in COCO's layout.

    Raises:
        UserError: There is none.
    """
    if data_root is None and os.environ.get(DATA_VARIABLE):
        data_root = str(Path(os.environ[DATA_VARIABLE], 'coco_mini'))
    if data_root is None:
        raise UserError(
            f'--what step needs images: give --data-root, a folder in the layout of '
            f'COCO, or set {DATA_VARIABLE} to the folder that holds coco_mini'
        )
    annotations = Path(data_root, 'annotations', 'instances_train2017.json')
    if not annotations.is_file():
        raise UserError(
            f'--data-root {data_root}: {annotations} does not exist; expected a folder '
            f'in the layout of COCO'
        )
    return data_root


def load_batch(
    data_root: str, number: int, shape: tuple[int, int], device: str
) -> dict:
    """Load crops with annotations, the same ones every time, normalised.

    Args:
        data_root: A folder in COCO's layout.
        number: How many.
        shape: Their height and width, pixels.
        device: Where they go.

    Returns:
        ``inputs``, (N, 3, H, W), and ``data_samples``, as mmdet's detectors take them.

    Raises:
        UserError: The data set has too few images with annotations.
    """
    cfg = read_config(CONFIG)
    set_data_root(cfg, data_root)
    dataset = cfg.train_dataloader.dataset
    dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        # The shorter side becomes that of the crop, or longer.
        dict(type='Resize', scale=(10**6, max(shape)), keep_ratio=True),
        # mmdet's sizes are (width, height).
        dict(type='RandomCrop', crop_size=shape[::-1], allow_negative_crop=False),
        dict(type='PackDetInputs'),
    ]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        images = DATASETS.build(dataset)
        np.random.seed(0)
        found = []
        for i in range(len(images)):
            item = images.prepare_data(i)  # None if a crop shows nothing
            if item is not None:
                found.append(item)
            if len(found) == number:
                break
        if len(found) < number:
            raise UserError(
                f'--data-root {data_root}: {len(found)} images have annotations in a '
                f'crop of {shape[0]} x {shape[1]}, expected {number}, the batch'
            )
        preprocessor = MODELS.build(cfg.model.data_preprocessor).to(device)
    return preprocessor(pseudo_collate(found), training=True)


def _model(arch: Arch) -> nn.Module:
    """Build the detector of an arch, with a backbone that is to be replaced."""
    cfg = read_config(CONFIG)
    cfg.model.neck.in_channels = list(arch.channels)
    depths = (1,) * len(arch.depths)
    cfg.model.backbone.arch = dict(depths=depths, channels=arch.channels)
    cfg.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Build the config's optimizer as the warm-up begins."""
    cfg = read_config(CONFIG)
    cfg.optim_wrapper.type = 'OptimWrapper'
    warm_up = cfg.param_scheduler[0].start_factor
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # it writes a table of the groups
    try:
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    finally:
        logger.setLevel(level)
    for group in optimizer.param_groups:
        group['lr'] *= warm_up
    return optimizer
