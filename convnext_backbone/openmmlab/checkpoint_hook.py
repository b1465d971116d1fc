"""mmengine's CheckpointHook, which never leaves a run without its best checkpoint."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook

from convnext_backbone.registry import HOOKS


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, always with a best checkpoint on disk.

    That one removes the last best before it saves the next: a run killed in between
    would be left with none.
    """

    best_ckpt_path: str | None

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        old, self.best_ckpt_path = self.best_ckpt_path, None
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            new: str | None = self.best_ckpt_path
            self.best_ckpt_path = new or old
        if new and old and new != old and is_main_process():
            Path(old).unlink(missing_ok=True)
