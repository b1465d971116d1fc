"""The private names of OpenMMLab's packages that are used here, in one place.

The upper bounds of these packages in ``pyproject.toml`` are the versions that these
names were tested with; ``tests/openmmlab/test_compat.py`` tells which one is gone.

Importing this module needs the standard library only: it is given what it looks into.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Private names that are overridden, which only a subclass can do: class and name.
OVERRIDDEN = {
    'mmengine.runner.Runner': ('_init_model_weights',),
    'mmengine.hooks.CheckpointHook': ('_save_best_checkpoint',),
    'mmengine.config.Config': ('_get_cfg_path',),
}


def log_dir(runner: Any) -> Path:
    """Return the folder of a Runner's own run, below its work dir."""
    return Path(runner._log_dir)


def wants_resume(runner: Any) -> bool:
    """Tell whether a Runner was told to resume a training."""
    return runner._resume


def asked_checkpoint(runner: Any) -> str | None:
    """Return the checkpoint that a Runner was told to load, or to resume from."""
    return runner._load_from


def mark_loaded(runner: Any) -> None:
    """Have a Runner load no checkpoint again."""
    runner._has_loaded = True


def training_data(runner: Any) -> Any:
    """Return the data set that a Runner trains on, None before it is built."""
    loader = getattr(runner._train_loop, 'dataloader', None)
    return getattr(loader, 'dataset', None)


def original_index(wrapper: Any, index: int) -> int | tuple[int, int]:
    """Return where a sample of a wrapped data set comes from.

    Returns:
        The index in the data set below; for a concatenation, that data set's number
        before it. A wrapper that changes no index returns it as it is.
    """
    find = getattr(wrapper, '_get_ori_dataset_idx', None)
    return index if find is None else find(index)


def mask_logits(roi_head: Any, features: tuple, rois: Any, stage: int | None) -> Any:
    """Run the mask head of mmdet's RoI heads on boxes, before the sigmoid.

    Args:
        roi_head: A StandardRoIHead or a CascadeRoIHead.
        features: Maps of the neck, (N, C, H, W) each.
        rois: (R, 5), image index, x1, y1, x2, y2 in pixels of the input.
        stage: Which mask head of a cascade; None where there is one.

    Returns:
        (R, classes, h, w).
    """
    before = () if stage is None else (stage,)
    return roi_head._mask_forward(*before, features, rois)['mask_preds']


def swaps_channels(preprocessor: Any) -> bool:
    """Tell whether a data preprocessor turns BGR into RGB, or back."""
    return preprocessor._channel_conversion


def normalises(preprocessor: Any) -> bool:
    """Tell whether a data preprocessor subtracts a mean and divides by a deviation."""
    return preprocessor._enable_normalize


def coco_of(metric: Any) -> Any:
    """Return the ground truth of mmdet's CocoMetric, None where samples hold it."""
    return metric._coco_api


def accumulated_batches(optim_wrapper: Any) -> int:
    """Return how many batches an OptimWrapper sums the gradients of for one step."""
    return optim_wrapper._accumulative_counts


def loader_schemes(loader: Any) -> dict:
    """Return CheckpointLoader's loaders, by how a file's name begins."""
    return loader._schemes


@contextmanager
def mmengine_globals_restored() -> Iterator[None]:
    """Take mmengine's global instances back to what they were before the block.

    They are loggers, message hubs, visualizers and default scopes.
    """
    before = {kind: kind._instance_dict.copy() for kind in _managers()}
    try:
        yield
    finally:
        for kind in _managers():
            for name, instance in kind._instance_dict.items():
                if isinstance(instance, logging.Logger) and name not in before[kind]:
                    for handler in instance.handlers:
                        handler.close()
            kind._instance_dict.clear()
            kind._instance_dict.update(before.get(kind, {}))


def _managers() -> list[Any]:
    from mmengine.utils import ManagerMixin

    kinds: list[Any] = [ManagerMixin]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return kinds
