"""mmengine's Runner, made to work on a CPU and to keep the console readable."""

import importlib.util
import logging
import shlex
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import Runner as MMRunner
from torch import nn

from convnext_backbone import checkpoints
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab import compat
from convnext_backbone.openmmlab.amp import resolve_optim_wrapper
from convnext_backbone.openmmlab.building import building
from convnext_backbone.openmmlab.schedules import low_eta_min, scheduler_configs

# mmengine's reports of the environment, the config and the hooks.
NOISE = ('paramwise_options', '"FileClient"', '"HardDiskBackend"')
LOG_FILE_ONLY = ('System environment:', 'Config:', 'Hooks will be executed')


class Runner(MMRunner):
    """Runner for every tool of the project.

    Beyond mmengine's: AMP and SyncBN configs run on a CPU, alone or with several
    gloo processes; COCO is evaluated with faster-coco-eval where it is installed;
    checkpoints are read without running code, of any family, and must fit; and
    mmengine's long reports go to the log file only. None of this changes the config,
    so that the copy in the work dir serves on any machine.
    """

    resumed_iter: int | None = None  # where a resumed training goes on

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'Runner':
        """Build a Runner; what the config gets wrong is a UserError."""
        with building(cfg.get('filename')):
            return super().from_cfg(cfg)

    def train(self) -> nn.Module:
        """Train the model; what the config gets wrong is a UserError."""
        with building(self.cfg.filename):
            return super().train()

    def test(self) -> dict[str, float]:
        """Evaluate the model; what the config gets wrong is a UserError."""
        with building(self.cfg.filename):
            return super().test()

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment; processes without a GPU talk through gloo."""
        if self.distributed and get_device() == 'cpu' and not is_distributed():
            if self.launcher != 'pytorch':
                raise UserError(
                    f'--launcher {self.launcher} needs GPUs and there is none here: '
                    f'use torchrun and --launcher pytorch for processes on a CPU'
                )
            # mmengine's own set-up selects a CUDA device first; it is skipped where
            # there is a process group already.
            torch.distributed.init_process_group('gloo')
        super().setup_env(env_cfg)

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build mmengine's logger, long reports kept off the console."""
        logger = super().build_logger(*args, **kwargs)
        files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
        if files:
            log_file = Path(files[0].baseFilename)
            for handler in logger.handlers:
                if handler not in files:
                    handler.setFormatter(_ShortFormatter(handler.formatter, log_file))
                    handler.addFilter(_is_news)
        return logger

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to its device and wrap it in DDP when distributed."""
        if self.distributed and get_device() == 'cpu':
            if any(isinstance(m, nn.SyncBatchNorm) for m in model.modules()):
                self.logger.info('No GPU here: SyncBN becomes BN in every process')
                model = revert_sync_batchnorm(model)
            model_wrapper_cfg = dict(
                type='MMDistributedDataParallel',
                device_ids=None,
                broadcast_buffers=False,
                find_unused_parameters=self.cfg.get('find_unused_parameters', False),
            )
        return super().wrap_model(model_wrapper_cfg, model)

    def dump_config(self) -> None:
        """Write the config to the work dir, never over the file that it came from."""
        source = Path(self.cfg.filename or '')
        if source.is_file() and source.resolve().parent == Path(self.work_dir):
            return  # the run's own folder has it too, resolved
        super().dump_config()

    def build_optim_wrapper(self, optim_wrapper: BaseOptimWrapper | dict):
        """Build the optimizer wrapper, with AMP resolved for this machine."""
        if isinstance(optim_wrapper, dict):
            optim_wrapper = resolve_optim_wrapper(optim_wrapper)
        return super().build_optim_wrapper(optim_wrapper)

    def build_param_scheduler(self, scheduler: dict | list) -> list | dict:
        """Build the schedulers; warn of one that raises a decayed learning rate."""
        if not isinstance(self.optim_wrapper, dict):
            groups = self.optim_wrapper.param_groups
            rates = [(group.get('group_name', 'all'), group['lr']) for group in groups]
            for warning in low_eta_min(rates, scheduler_configs(scheduler)):
                self.logger.warning(warning)
        return super().build_param_scheduler(scheduler)

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        """Build the evaluator, with the faster implementation of COCO's metric."""
        if isinstance(evaluator, dict):
            evaluator = choose_coco_metric(evaluator)
        elif isinstance(evaluator, list):
            evaluator = [choose_coco_metric(metric) for metric in evaluator]
        return super().build_evaluator(evaluator)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the default hooks, with a safer one for checkpoints."""
        saving = (hooks or {}).get('checkpoint')
        if (
            hooks
            and isinstance(saving, dict)
            and saving.get('type') == 'CheckpointHook'
        ):
            kind = 'convnext_backbone.SafeCheckpointHook'
            hooks = {**hooks, 'checkpoint': {**saving, 'type': kind}}
        super().register_default_hooks(hooks)

    def save_checkpoint(self, out_dir: str, filename: str, *args, **kwargs) -> None:
        """Save a checkpoint, whole or not at all, whenever the process is killed."""
        if '://' in str(out_dir):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        partial = f'{filename}.part'
        super().save_checkpoint(out_dir, partial, *args, **kwargs)
        path = Path(out_dir, partial)
        if path.is_file() and is_main_process():
            path.replace(Path(out_dir, filename))

    def load_checkpoint(self, filename: str, *args, **kwargs) -> dict:
        """Load a checkpoint of any family; to resume, one of this very model.

        Raises:
            UserError: The file cannot be read, does not fit, or holds nothing that a
                training could be resumed from.
        """
        checkpoint = checkpoints.read_checkpoint(filename)
        content = checkpoint.content
        if compat.wants_resume(self):
            check_resumable(content, filename)
            forget_best_elsewhere(content, self.work_dir)
            self.resumed_iter = content['meta']['iter']
            self.call_hook('after_load_checkpoint', checkpoint=content)
            # The hooks may have put another state dict in place.
            checkpoint = checkpoint.reread()
            checkpoints.apply(self.model, checkpoint, strict=True)
        else:
            checkpoints.apply(self.model, checkpoint)
            # Hooks look for the model's own names, whatever the file's are.
            model = self.model.module if is_model_wrapper(self.model) else self.model
            loaded = {**content, 'state_dict': model.state_dict()}
            self.call_hook('after_load_checkpoint', checkpoint=loaded)
        compat.mark_loaded(self)
        return content

    def _init_model_weights(self) -> None:
        """Initialise the weights, unless a checkpoint is about to replace them all."""
        if compat.wants_resume(self) and (
            compat.asked_checkpoint(self) or checkpoints.last_checkpoint(self.work_dir)
        ):
            return
        super()._init_model_weights()


def check_resumable(checkpoint: dict, path: str) -> None:
    """Raise UserError unless a checkpoint holds the state of a training."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    missing = [key for key in ('epoch', 'iter') if key not in meta]
    missing += [key for key in ('message_hub', 'optimizer') if key not in checkpoint]
    if missing:
        raise UserError(
            f'checkpoint {path} cannot be resumed from, it has no '
            f'{", ".join(missing)}: to start a training with its weights, give it as '
            f'--init {shlex.quote(path)}'
        )


def forget_best_elsewhere(checkpoint: dict, work_dir: str) -> None:
    """Keep mmengine from deleting the best checkpoint of the run that is resumed from.

    It replaces the best checkpoint that the resumed state names, wherever that is.
    """
    runtime = checkpoint['message_hub'].get('runtime_info', {})
    best = runtime.get('best_ckpt')
    if best and Path(best).parent.resolve() != Path(work_dir).resolve():
        for key in ('best_ckpt', 'best_score'):
            runtime.pop(key, None)


class TestRunner(Runner):
    """A Runner that leaves the config of the training in the work dir alone."""

    __test__ = False  # not a test class, whatever pytest takes its name for

    def dump_config(self) -> None:
        """Write nothing: an evaluation adds metrics and hooks of its own."""


def choose_coco_metric(metric: dict) -> dict:
    """Replace CocoMetric by FasterCocoMetric where that can run; equal numbers."""
    if not isinstance(metric, dict) or metric.get('type') != 'CocoMetric':
        return metric
    if importlib.util.find_spec('faster_coco_eval') is None:
        return metric
    from mmdet.registry import METRICS

    if METRICS.get('FasterCocoMetric') is None:  # mmdet before the fork has none
        return metric
    return {**metric, 'type': 'FasterCocoMetric'}


def _is_news(record: logging.LogRecord) -> bool:
    """Keep from the console what mmengine says of each parameter and of itself."""
    return not record.getMessage().startswith(NOISE)


class _ShortFormatter(logging.Formatter):
    """Replaces mmengine's long reports on the console by the log file's path."""

    def __init__(self, formatter: logging.Formatter, log_file: Path) -> None:
        super().__init__()
        self.formatter = formatter
        self.log_file = log_file

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().lstrip('\n -')
        for title in LOG_FILE_ONLY:
            if message.startswith(title):
                record = logging.makeLogRecord(record.__dict__)
                record.msg = f'{title.rstrip(":")}: see {self.log_file}'
                record.args = ()
        return self.formatter.format(record)
