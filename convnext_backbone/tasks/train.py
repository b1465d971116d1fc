"""Trains from a config: resume, AMP, seed, and what to say at the end."""

import shlex
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger

from convnext_backbone.checkpoints import Source, last_checkpoint
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab.compat import log_dir
from convnext_backbone.openmmlab.runner import Runner
from convnext_backbone.tasks.initial_weights import (
    drop_backbone_weights,
    fetch_initial_weights,
    initial_weights,
)
from convnext_backbone.tasks.mask_labels import mask_label_warnings
from convnext_backbone.tasks.report import write_report
from convnext_backbone.tasks.run_record import recorded


def train(
    cfg: Config,
    *,
    resume: str | None = None,
    init: Source | None = None,
    amp: bool = False,
    seed: int | None = None,
    report: bool = True,
    weights_fetched: bool = False,
) -> Runner:
    """Train the model of a config to the end of its schedule.

    Args:
        cfg: What :func:`~convnext_backbone.config.loading.load_run_config` returned.
        resume: 'auto' continues from the latest checkpoint in the work dir (and
            starts afresh when there is none), a path from that checkpoint, or from
            the latest one in that folder.
        init: Checkpoint to start from, in place of the config's: what
            :func:`convnext_backbone.checkpoints.load` takes.
        amp: Train in mixed precision where the config does not ask for it.
        seed: Random seed of the run; None draws one, which the log states.
        report: Whether to write the training's report at the end.
        weights_fetched: Whether what the training starts from was fetched before.

    Returns:
        The runner, after training.

    Raises:
        UserError: A checkpoint cannot be had, or is of another model, or a file of the
            data set cannot be read.
    """
    if amp and cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    latest = _set_start(cfg, resume, init)
    if not cfg.get('resume') and not weights_fetched:
        fetch_initial_weights(initial_weights(cfg), 'train')
    runner = Runner.from_cfg(cfg)
    if resume == 'auto' and latest is None:
        runner.logger.warning(
            f'--resume: {cfg.work_dir} holds no checkpoint yet, training from the start'
        )
    elif init is not None and latest is not None:
        runner.logger.warning(f'--init {init} is not loaded: resuming from {latest}')
    if is_main_process():
        for warning in mask_label_warnings(cfg, ('train', 'val')):
            runner.logger.warning(warning)
    with recorded(log_dir(runner), runner.seed):
        runner.train()
    if runner.resumed_iter is not None and runner.iter <= runner.resumed_iter:
        runner.logger.warning(
            f'Nothing was left to train: {latest} is at the end of the schedule'
        )
    else:
        _say_what_was_saved(runner)
    if report:
        _report(runner)
    return runner


def _set_start(cfg: Config, resume: str | None, init: Source | None) -> str | None:
    """Write into a config what it starts from; return the checkpoint to resume.

    Raises:
        UserError: There is nothing to resume where the user says.
    """
    if init is not None:
        cfg.load_from = str(init)
    if cfg.get('load_from'):  # replaces them in any case
        drop_backbone_weights(cfg.model)
    latest = last_checkpoint(cfg.work_dir) if resume == 'auto' else None
    if resume and resume != 'auto':
        latest = last_checkpoint(resume) if Path(resume).is_dir() else resume
        if latest is None or not Path(latest).is_file():
            raise UserError(
                f'--resume {resume}: no such checkpoint, and no work dir with one; '
                f'without a path the latest one in {cfg.work_dir} is taken'
            )
    if latest is not None:
        cfg.resume, cfg.load_from = True, latest
    return latest


def _report(runner: Runner) -> None:
    """Write the report, in one process; whatever goes wrong, the training is done."""
    first = is_main_process()
    if runner.distributed:
        torch.distributed.destroy_process_group()
    if not first:
        return
    try:
        path = write_report(runner.work_dir)
    except Exception:
        runner.logger.exception(
            f'The report could not be written; to try again: convnext-backbone report '
            f'{shlex.quote(str(runner.work_dir))}'
        )
    else:
        runner.logger.info(f'Report written to {path}')


def _say_what_was_saved(runner: Runner) -> None:
    """Log the checkpoints that the run left, best first."""
    logger = MMLogger.get_current_instance()
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            best = getattr(hook, 'best_ckpt_path', None)
            if best:
                score = runner.message_hub.get_info('best_score')
                name = ', '.join(hook.save_best)
                logger.info(f'Best checkpoint: {best} ({name}: {score:.4f})')
            logger.info(f'Last checkpoint: {last_checkpoint(runner.work_dir)}')
