"""Drop path that drops the same samples in every contestant.

In training, our blocks draw ``torch.rand(N) < keep`` from the CPU's default generator,
one block after the other. :meth:`KeptSamples.draw` draws the same numbers in the same
order. After the same seed, ours and a peer therefore drop the same samples and leave
the generator in the same state, which matters to a detector's random samplers behind
the backbone. The peers' own drop path modules are replaced by :class:`SharedDropPath`,
which looks up what was drawn and multiplies as the peer does.
"""

import torch
from torch import Tensor, nn

from convnext_backbone.foundation.errors import UserError

# The class names of the libraries' drop path modules end so.
PEER_CLASSES = ('DropPath', 'StochasticDepth')


class KeptSamples:
    """The samples of a batch that each block of a backbone keeps in a training step.

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
    """Drop path of given samples, at the cost of the peer's own drop path.

    Args:
        kept_samples: Holds the samples that are kept in the current step.
        block: Position of the block in the backbone.
        divides: Whether the activations are divided by the keep probability, as mmcv
            and Hugging Face do it. If not, the mask is, as in timm and torchvision.
    """

    def __init__(self, kept_samples: KeptSamples, block: int, divides: bool) -> None:
        super().__init__()
        self.kept_samples = kept_samples
        self.block = block
        self.divides = divides

    def forward(self, x: Tensor) -> Tensor:
        """Set the branch's output (N, C, H, W) to 0 for samples that are not kept."""
        rate = self.kept_samples.rates[self.block]
        if not self.training or rate == 0:
            return x
        kept = self.kept_samples.kept[self.block]
        assert kept is not None, 'draw() comes before a training step'
        mask = x.new_empty(len(x), 1, 1, 1)
        mask.copy_(kept.view(-1, 1, 1, 1))
        if self.divides:
            return x.div(1 - rate) * mask
        return x * mask.div_(1 - rate)


def replace_drop_path(
    model: nn.Module, kept_samples: KeptSamples, divides: bool
) -> None:
    """Replace the drop path modules of a library by :class:`SharedDropPath`.

    Args:
        model: A backbone with one such module in each block whose rate is above 0.
        kept_samples: The kept samples of all blocks.
        divides: See :class:`SharedDropPath`.

    Raises:
        UserError: The model has another number of drop path modules than expected.
    """
    places = [
        (parent, name)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child).__name__.endswith(PEER_CLASSES)
        and getattr(child, 'drop_prob', getattr(child, 'p', 0)) > 0
    ]
    blocks = [i for i, rate in enumerate(kept_samples.rates) if rate > 0]
    if len(places) != len(blocks):
        raise UserError(
            f'{type(model).__name__} has {len(places)} blocks with drop path, expected '
            f'{len(blocks)}: the installed release of the library builds its blocks in '
            f'a way that this benchmark does not know; leave this peer out of --against'
        )
    for (parent, name), block in zip(places, blocks, strict=True):
        setattr(parent, name, SharedDropPath(kept_samples, block, divides))
