"""What a config's ``param_scheduler`` asks for, and where it contradicts itself."""

import math
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


def long_warm_ups(
    schedulers: Iterable[dict], *, max_iters: int | None, max_epochs: int | None
) -> list[str]:
    """Find warm-ups that last longer than the training.

    Args:
        schedulers: What :func:`scheduler_configs` returns.
        max_iters: Length of the training in iterations; None if it is not known.
        max_epochs: Length in epochs; None if it is not known.

    Returns:
        A warning for each. The learning rate does not come to its full value then.
    """
    warnings = []
    for scheduler in schedulers:
        by_epoch = scheduler.get('by_epoch', True)
        length, unit = (max_epochs, 'epoch') if by_epoch else (max_iters, 'iteration')
        end = scheduler.get('end') or math.inf
        if length is None or end <= length or not _warms_up(scheduler):
            continue
        until = 'without an end' if math.isinf(end) else f'until {unit} {end}'
        warnings.append(
            f'{_name(scheduler)} warms the learning rate up {until}, but the training '
            f'ends at {unit} {length}: it does not come to its full value; set a '
            f'smaller end in param_scheduler, or train longer'
        )
    return warnings


def _warms_up(scheduler: dict) -> bool:
    """Tell whether a scheduler keeps the learning rate low at first."""
    name = _name(scheduler)
    if name == 'LinearLR':
        return scheduler.get('start_factor', 1 / 3) < scheduler.get('end_factor', 1.0)
    if name == 'ConstantLR':
        return scheduler.get('factor', 1 / 3) < 1
    return 'Warmup' in name


def _name(scheduler: dict) -> str:
    """Return the name of a scheduler's class, without its scope."""
    kind = scheduler['type']
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__
