"""What a config's ``param_scheduler`` asks for, and where it contradicts itself."""

from collections.abc import Iterable


def scheduler_configs(param_scheduler: dict | list | None) -> list[dict]:
    """Return the configs in a ``param_scheduler`` as a list, however it is written."""
    if not isinstance(param_scheduler, list | tuple):
        param_scheduler = [param_scheduler]
    return [s for s in param_scheduler if isinstance(s, dict) and 'type' in s]


def low_eta_min(
    lrs: Iterable[tuple[str, float]], schedulers: Iterable[dict]
) -> list[str]:
    """Find schedules that end above a group's own learning rate.

    Args:
        lrs: Name and learning rate of each group.
        schedulers: What :func:`scheduler_configs` returns.

    Returns:
        A warning for each absolute ``eta_min`` that would let learning rates rise.
    """
    lrs = list(lrs)
    warnings = []
    for scheduler in schedulers:
        eta_min = scheduler.get('eta_min') or 0.0
        above = [(lr, name) for name, lr in lrs if eta_min > lr]
        if above:
            lr, name = min(above)
            warnings.append(
                f'{scheduler["type"]} ends at eta_min={eta_min:g}, above the decayed '
                f'learning rate of {len(above)} groups ({name}: {lr:.3g}), which would '
                f'rise: write eta_min_ratio, relative to each, or a smaller eta_min'
            )
    return warnings
