"""mmengine's Runner, made to work on a CPU and to keep the console readable."""

import logging
from pathlib import Path

from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import Runner as MMRunner
from torch import nn

from convnext_backbone.amp import resolve_optim_wrapper

# mmengine's reports of the environment, the config and the hooks.
LOG_FILE_ONLY = ('System environment:', 'Config:', 'Hooks will be executed')


class Runner(MMRunner):
    """Runner for every tool of the project.

    Beyond mmengine's: AMP and SyncBN configs run on a CPU, alone or with several
    gloo processes, and mmengine's long reports (environment, config, hooks) go to
    the log file only. The config that it writes into the work dir is the
    one it was given, so that the file serves on any machine.
    """

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment; processes without a GPU talk through gloo."""
        if get_device() == 'cpu' and env_cfg.get('dist_cfg', {}).get('backend'):
            dist_cfg = {**env_cfg['dist_cfg'], 'backend': 'gloo'}
            env_cfg = {**env_cfg, 'dist_cfg': dist_cfg}
        super().setup_env(env_cfg)

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build mmengine's logger, long messages kept off the console."""
        logger = super().build_logger(*args, **kwargs)
        files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
        if files:
            for handler in logger.handlers:
                if handler not in files:
                    log_file = Path(files[0].baseFilename)
                    handler.setFormatter(_ShortFormatter(handler.formatter, log_file))
        return logger

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Move the model to its device and wrap it in DDP when distributed."""
        if self.distributed and get_device() == 'cpu':
            self.logger.info('No GPU here: SyncBN becomes BN, one statistic a process')
            model = revert_sync_batchnorm(model)
            if model_wrapper_cfg is None:  # without the device ids of the default
                model_wrapper_cfg = dict(
                    type='MMDistributedDataParallel',
                    broadcast_buffers=False,
                    find_unused_parameters=self.cfg.get(
                        'find_unused_parameters', False
                    ),
                )
        return super().wrap_model(model_wrapper_cfg, model)

    def build_optim_wrapper(self, optim_wrapper: BaseOptimWrapper | dict):
        """Build the optimizer wrapper, with AMP resolved for this machine."""
        if isinstance(optim_wrapper, dict):
            optim_wrapper = resolve_optim_wrapper(optim_wrapper)
        return super().build_optim_wrapper(optim_wrapper)


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
                record.msg, record.args = (
                    f'{title.rstrip(":")}: see {self.log_file}',
                    (),
                )
        return self.formatter.format(record)
