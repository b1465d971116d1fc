"""Parameter groups of an optimizer, and their table."""

from collections.abc import Sequence
from typing import NamedTuple


class Group(NamedTuple):
    """Parameters that share their settings; None is what a frozen group has not.

    Attributes:
        name: Such as ``layer_03.no_decay``.
        scale: Factor of the optimizer's learning rate.
        lr: Learning rate before any schedule.
        weight_decay: Weight decay.
        tensors: Number of parameter tensors.
        params: Number of parameters.
    """

    name: str
    scale: float | None
    lr: float | None
    weight_decay: float | None
    tensors: int
    params: int


def group_table(groups: Sequence[Group]) -> str:
    """Lay groups out as text, one a line."""
    width = max(len(group.name) for group in groups)
    line = f'{{:<{width}}} {{:>10}} {{:>10}} {{:>13}} {{:>8}} {{:>13}}'.format
    rows = [line('group', 'lr_scale', 'lr', 'weight decay', 'tensors', 'parameters')]
    for group in groups:
        numbers = (group.scale, group.lr, group.weight_decay)
        shown = ('-' if number is None else f'{number:.4g}' for number in numbers)
        rows.append(line(group.name, *shown, group.tensors, f'{group.params:,}'))
    return '\n'.join(rows)
