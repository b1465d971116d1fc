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
from mmengine.optim import BaseOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner as MMRunner
from torch import nn
from torch.utils.data import DataLoader

from convnext_backbone import checkpoints
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab import compat
from convnext_backbone.openmmlab.amp import resolve_optim_wrapper
from convnext_backbone.openmmlab.building import building
from convnext_backbone.openmmlab.class_order import class_names, compare_classes
from convnext_backbone.openmmlab.coco_labels import labels_by_name
from convnext_backbone.openmmlab.no_predictions import NoPredictionsHook
from convnext_backbone.openmmlab.normalisation import normalisation_warning
from convnext_backbone.openmmlab.schedules import (
    long_warm_ups,
    low_eta_min,
    scheduler_configs,
)

# mmengine's reports of the environment, the config and the hooks.
NOISE = ('paramwise_options', '"FileClient"', '"HardDiskBackend"')
ORDER_ADVICE = (
    'write the classes of the checkpoint, in its order, into metainfo=dict(classes='
    '(...)) of the data set (COCO files may list their categories in any order, they '
    'are found by name; the labels in masks have to be numbered in that order)'
)
COCO_METRICS = ('CocoMetric', 'FasterCocoMetric')
LOG_FILE_ONLY = ('System environment:', 'Config:', 'Hooks will be executed')


class Runner(MMRunner):
    """Runner for every tool of the project.

    Beyond mmengine's: AMP and SyncBN configs run on a CPU, alone or with several
    gloo processes; COCO's categories are labels by their names, and are evaluated with
    faster-coco-eval where it is installed; learning rates scaled to the batch size
    count accumulated batches; checkpoints are read without running code, of any
    family, and must fit; and mmengine's long reports go to the log file only. None of
    this changes the config, so that the copy in the work dir serves on any machine.
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
        """Build the schedulers; warn of one that cannot do what it is for."""
        if not isinstance(self.optim_wrapper, dict):
            groups = self.optim_wrapper.param_groups
            rates = [(group.get('group_name', 'all'), group['lr']) for group in groups]
            parts = scheduler_configs(scheduler)
            length = dict(max_iters=self.max_iters, max_epochs=self.max_epochs)
            for warning in low_eta_min(rates, parts) + long_warm_ups(parts, **length):
                self.logger.warning(warning)
        return super().build_param_scheduler(scheduler)

    def scale_lr(
        self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None
    ) -> None:
        """Scale learning rates to the batch size, in which accumulated batches count.

        mmengine scales them to the batch of one iteration, though the optimizer makes
        a step after ``accumulative_counts`` of them.
        """
        super().scale_lr(optim_wrapper, auto_scale_lr)
        if not (auto_scale_lr or {}).get('enable'):
            return
        several = isinstance(optim_wrapper, OptimWrapperDict)
        for wrapper in optim_wrapper.values() if several else [optim_wrapper]:
            batches = compat.accumulated_batches(wrapper)
            if batches > 1:
                self.logger.info(
                    f'The gradients of {batches} iterations are accumulated for each '
                    f'step of the optimizer, so that the batch is {batches} times as '
                    f'large: learning rates are multiplied by {batches}'
                )
                for group in wrapper.optimizer.param_groups:
                    group['lr'] *= batches

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict,
        seed: int | None = None,
        diff_rank_seed: bool = False,
    ) -> DataLoader:
        """Build a data loader; COCO's categories are labels by their names."""
        with labels_by_name(dataloader):
            return MMRunner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_evaluator(self, evaluator: dict | list | Evaluator) -> Evaluator:
        """Build the evaluator, with our form of COCO's metric."""
        if isinstance(evaluator, dict):
            evaluator = choose_coco_metric(evaluator)
        elif isinstance(evaluator, list):
            evaluator = [choose_coco_metric(metric) for metric in evaluator]
        return super().build_evaluator(evaluator)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register the default hooks, a safer one for checkpoints, and one of ours."""
        saving = (hooks or {}).get('checkpoint')
        if (
            hooks
            and isinstance(saving, dict)
            and saving.get('type') == 'CheckpointHook'
        ):
            kind = 'convnext_backbone.SafeCheckpointHook'
            hooks = {**hooks, 'checkpoint': {**saving, 'type': kind}}
        super().register_default_hooks(hooks)
        self.register_hook(NoPredictionsHook())

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
            UserError: The file cannot be read, does not fit, holds nothing that a
                training could be resumed from, or is of a training with the classes in
                another order.
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
            report = checkpoints.apply(self.model, checkpoint, strict=True)
            self._compare_classes(report, filename)
        else:
            report = checkpoints.apply(self.model, checkpoint)
            try:
                self._compare_classes(report, filename)
            except UserError as error:
                self.logger.warning(f'The heads start with labels swapped: {error}')
            # Hooks look for the model's own names, whatever the file's are.
            model = self.model.module if is_model_wrapper(self.model) else self.model
            loaded = {**content, 'state_dict': model.state_dict()}
            self.call_hook('after_load_checkpoint', checkpoint=loaded)
        compat.mark_loaded(self)
        return content

    def load_or_resume(self) -> None:
        """Load the config's checkpoint; warn where images are normalised otherwise.

        It comes last before training or evaluation begins, whatever gave the weights.
        """
        super().load_or_resume()
        if warning := normalisation_warning(self.model):
            self.logger.warning(warning)

    def _compare_classes(self, report: checkpoints.LoadReport, filename: str) -> None:
        """Compare the classes of a checkpoint with those of the training data.

        Raises:
            UserError: They are in another order.
        """
        trained = class_names(report.dataset_meta)
        given = class_names(getattr(compat.training_data(self), 'metainfo', None))
        if trained and given:
            parts = f'checkpoint {filename}', 'the training data'
            warning = compare_classes(trained, given, parts, ORDER_ADVICE)
            if warning:
                self.logger.warning(warning)

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

    @property
    def evaluation_warnings(self) -> list[str]:
        """What makes the metrics of the last evaluation doubtful; it was logged."""
        hooks = (h for h in self.hooks if isinstance(h, NoPredictionsHook))
        return [warning for hook in hooks for warning in hook.warnings]

    def load_trained(self, checkpoint: checkpoints.Source) -> list[str]:
        """Load the checkpoint to evaluate, which has the classes of the test data.

        Returns:
            What is doubtful about its classes; it was logged.

        Raises:
            UserError: It does not fit the model, or has its classes in another order
                than the test data.
        """
        report = checkpoints.load(self.model, checkpoint, strict=True)
        with building(self.cfg.filename):
            dataset = self.test_dataloader.dataset
        trained = class_names(report.dataset_meta)
        given = class_names(getattr(dataset, 'metainfo', None))
        if not trained or not given:
            self.logger.info(
                'The checkpoint does not name its classes: they are taken to be those '
                'of the test data, in their order'
            )
            return []
        parts = f'checkpoint {checkpoint}', 'the test data'
        warning = compare_classes(trained, given, parts, ORDER_ADVICE)
        if warning:
            self.logger.warning(warning)
        return [warning] if warning else []


def is_coco_metric(metric: object) -> bool:
    """Tell whether the config of a metric is that of mmdet's COCO metric."""
    kind = metric.get('type') if isinstance(metric, dict) else None
    return isinstance(kind, str) and kind.removeprefix('mmdet.') in COCO_METRICS


def choose_coco_metric(metric: dict) -> dict:
    """Replace mmdet's COCO metric by ours, the faster one where that can run."""
    if not is_coco_metric(metric):
        return metric
    from convnext_backbone.openmmlab import coco_metric  # registers them

    kind = coco_metric.CocoMetric.__name__
    if importlib.util.find_spec('faster_coco_eval') is not None:
        # mmdet before the fork has none.
        kind = 'FasterCocoMetric' if coco_metric.MMFasterCocoMetric else kind
    return {**metric, 'type': f'convnext_backbone.{kind}'}


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
