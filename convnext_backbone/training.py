"""Trains from a config: resume, AMP, seed, and what to say at the end."""

from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmengine.runner import find_latest_checkpoint

from convnext_backbone.runner import Runner


def train(
    cfg: Config,
    *,
    resume: str | None = None,
    amp: bool = False,
    seed: int | None = None,
) -> Runner:
    """Train the model of a config to the end of its schedule.

    Args:
        cfg: A config that :func:`convnext_backbone.cli.load_config` returned.
        resume: 'auto' continues from the latest checkpoint in the work dir (and
            starts afresh when there is none), a path from that checkpoint.
        amp: Train in mixed precision where the config does not ask for it.
        seed: Random seed of the run; None draws one, which the log states.

    Returns:
        The runner, after training.

    Raises:
        ValueError: The checkpoint to resume from does not exist, or is of another
            model.
    """
    if amp and cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    latest = find_latest_checkpoint(cfg.work_dir) if resume == 'auto' else None
    if latest is not None:
        cfg.resume, cfg.load_from = True, latest
    elif resume and resume != 'auto':
        if not Path(resume).is_file():
            raise ValueError(
                f'--resume {resume}: no such checkpoint; without a path the latest one '
                f'in the work dir is taken'
            )
        cfg.resume, cfg.load_from = True, resume
    runner = Runner.from_cfg(cfg)
    if resume == 'auto' and latest is None:
        runner.logger.warning(
            f'--resume: {cfg.work_dir} holds no checkpoint yet, training from the start'
        )
    runner.train()
    _say_what_was_saved(runner)
    return runner


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
            logger.info(f'Last checkpoint: {find_latest_checkpoint(runner.work_dir)}')
