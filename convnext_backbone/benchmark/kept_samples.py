"""Which samples each block keeps in a step, the same for every contestant.

Our blocks draw ``torch.rand(N) < keep`` from the CPU's default generator, one after the
other. :meth:`Masks.draw` does the same, so that after the same seed both have the same
samples, and both leave the generator in the same state for what comes after the
backbone. The peers' own modules for drop path are replaced by :class:`SharedDropPath`,
which looks up what was drawn and multiplies in the peer's way.
"""

import torch
from torch import Tensor, nn

from convnext_backbone.foundation.errors import UserError

PEER_CLASSES = ('DropPath', 'StochasticDepth')  # how the names of theirs end


class Masks:
    """Kept samples of each block of a backbone.

    Args:
        drop_path_rate: Rate of the last block; it rises linearly from 0 at the first.
        blocks: Number of blocks of the backbone.

    Attributes:
        rates: Drop path rate of each block.
        kept: For each block which samples are kept, (N,), booleans; None at rate 0.
    """

    def __init__(self, drop_path_rate: float, blocks: int) -> None:
        last = max(1, blocks - 1)
        self.rates = [drop_path_rate * i / last for i in range(blocks)]
        self.kept: list[Tensor | None] = [None] * blocks

    def draw(self, batch: int) -> None:
        """Draw the kept samples of every block from the default generator."""
        self.kept = [
            torch.rand(batch) < 1 - rate if rate > 0 else None for rate in self.rates
        ]


class SharedDropPath(nn.Module):
    """Drop path on given samples, as expensive as on samples of its own drawing.

    Args:
        masks: Where the kept samples of the step are.
        block: Position of the block in the backbone.
        divides: Divide the activations by the keep probability, as mmcv and
            Hugging Face do; else the mask, as timm and torchvision do.
    """

    def __init__(self, masks: Masks, block: int, divides: bool) -> None:
        super().__init__()
        self.masks = masks
        self.block = block
        self.divides = divides

    def forward(self, x: Tensor) -> Tensor:
        """Set the branch's output (N, C, H, W) to 0 for samples that are not kept."""
        rate = self.masks.rates[self.block]
        if not self.training or rate == 0:
            return x
        mask = x.new_empty(len(x), 1, 1, 1)
        mask.copy_(self.masks.kept[self.block].view(-1, 1, 1, 1))
        if self.divides:
            return x.div(1 - rate) * mask
        return x * mask.div_(1 - rate)


def share(model: nn.Module, masks: Masks, divides: bool) -> None:
    """Replace a library's own modules for drop path.

    Args:
        model: A backbone with one such module in each block that has a rate above 0.
        masks: The kept samples.
        divides: As of :class:`SharedDropPath`.

    Raises:
        UserError: The number of modules is another.
    """
    places = [
        (parent, name)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child).__name__.endswith(PEER_CLASSES)
        and getattr(child, 'drop_prob', getattr(child, 'p', 0)) > 0
    ]
    blocks = [i for i, rate in enumerate(masks.rates) if rate > 0]
    if len(places) != len(blocks):
        raise UserError(
            f'{type(model).__name__} has {len(places)} blocks with drop path, expected '
            f'{len(blocks)}: its release builds them in a way that is not known here'
        )
    for (parent, name), block in zip(places, blocks, strict=True):
        setattr(parent, name, SharedDropPath(masks, block, divides))
