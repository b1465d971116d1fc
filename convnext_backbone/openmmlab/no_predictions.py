"""Tells when a detector was evaluated and had not predicted anything.

The metrics are 0 then, which is right, and looks like a model that predicts badly.
"""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook


def no_predictions(images: int) -> str:
    """Return the warning that nothing was predicted in so many images."""
    return (
        f'No predictions: the model found nothing in any of the {images} images, so '
        f'that every AP is 0. Causes are weights of another model or of none, images '
        f'that are normalised otherwise than in training, and a score_thr in '
        f'model.test_cfg that no prediction reaches'
    )


class NoPredictionsHook(Hook):
    """Warns after an evaluation of a detector that predicted nothing.

    Attributes:
        warnings: Those about the last evaluation, none or one.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.images = self.instances = 0

    def before_val_epoch(self, runner) -> None:
        """Start to count."""
        self.images = self.instances = 0

    def after_val_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Count the images of a batch that can have instances, and the instances."""
        for output in outputs or ():
            if 'pred_instances' in output:
                self.images += 1
                self.instances += len(output.pred_instances)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Warn if there was nothing to count in any process."""
        counts = torch.tensor([self.images, self.instances])
        all_reduce(counts)
        images, instances = counts.tolist()
        self.warnings = [no_predictions(images)] if images and not instances else []
        for warning in self.warnings:
            runner.logger.warning(warning)

    before_test_epoch = before_val_epoch
    after_test_iter = after_val_iter
    after_test_epoch = after_val_epoch
