"""What the user wants to compare, and whether that is valid."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from convnext_backbone.benchmark.arch_specs import find_archs
from convnext_backbone.benchmark.peers import PEERS
from convnext_backbone.foundation.errors import UserError

DEVICES = ('cpu', 'cuda')
MIN_SIDE = 32  # pixels, the stride of the last stage


@dataclass(frozen=True)
class Options:
    """What to compare.

    Attributes:
        what: 'backbone', 'step' or 'infer'.
        archs: Names of architectures, as :func:`~.arch_specs.find_archs` takes them.
        peers: Names of the peers that ours is compared with.
        shape: Height and width of the images, pixels.
        batch: Number of images.
        rounds: How often each backbone is timed.
        threads: Number of PyTorch's threads; None keeps PyTorch's own choice.
        drop_paths: Drop path rates of the last block; None for the rate of each
            architecture's detector.
        with_cp: Levels of activation checkpointing of ours.
        device: The device to run on.
        data_root: Images in COCO's layout, for 'step'.
    """

    what: str
    archs: Sequence[str]
    peers: Sequence[str]
    shape: tuple[int, int]
    batch: int
    rounds: int
    threads: int | None
    drop_paths: Sequence[float] | None
    with_cp: Sequence[bool | str]
    device: str
    data_root: str | None

    def check(self) -> None:
        """Raise UserError for a name or number that is not valid."""
        for name, values in (('archs', self.archs), ('against', self.peers)):
            if not values:
                raise UserError(f'--{name}: expected at least one name')
        find_archs(self.archs)
        unknown = [name for name in self.peers if name not in PEERS]
        if unknown:
            raise UserError(
                f'--against {",".join(unknown)}: expected names from '
                f'{", ".join(PEERS)}, separated by commas'
            )
        for name in ('batch', 'rounds', 'threads'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f'--{name} {value}: expected a positive number')
        if min(self.shape) < MIN_SIDE:
            raise UserError(
                f'--shape {self.shape[0]} {self.shape[1]}: height and width must be at '
                f'least {MIN_SIDE} pixels, the stride of the last stage'
            )
        for rate in self.drop_paths or ():
            if not 0 <= rate < 1:
                raise UserError(
                    f'--drop-path {rate}: expected probabilities from 0 to below 1'
                )
        reason = _device_problem(self.device)
        if reason is not None:
            raise UserError(
                f'--device {self.device}: {reason}; expected cpu or, where PyTorch has '
                f'a GPU, cuda'
            )


def _device_problem(device: str) -> str | None:
    """Return why a device cannot be benchmarked, None if it can."""
    try:
        if torch.device(device).type not in DEVICES:
            return 'the benchmark does not support it'
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return None
