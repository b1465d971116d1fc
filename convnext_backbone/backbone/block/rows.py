"""A map as rows of channels: which belong together, which are kept, and back."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from convnext_backbone.backbone.block.block_weights import BlockWeights

# Bytes of hidden activations made at a time.
CHUNK_BYTES = {'cpu': 8 << 20}
DEFAULT_CHUNK_BYTES = 64 << 20


class Chunk(NamedTuple):
    """Some rows, of those of the kept samples (inner) and of all samples (outer)."""

    inner: slice
    outer: slice


def groups(
    x: Tensor, kept: Sequence[int], weights: BlockWeights
) -> Iterator[list[Chunk]]:
    """Cut the kept samples' rows into chunks; with GRN a sample's are one group."""
    positions = x.shape[2] * x.shape[3]
    hidden, width = weights.weight1.shape[0], weights.weight1.element_size()
    budget = CHUNK_BYTES.get(x.device.type, DEFAULT_CHUNK_BYTES)
    runs: list[list[int]] = []  # first inner row, first outer row, rows
    for i, sample in enumerate(kept):
        inner, outer = i * positions, sample * positions
        joins = runs and runs[-1][1] + runs[-1][2] == outer
        if joins and weights.grn_gamma is None:
            runs[-1][2] += positions
        else:
            runs.append([inner, outer, positions])
    for inner, outer, rows in runs:
        count = -(-rows * hidden * width // budget)
        size = -(-rows // count)
        chunks = [
            Chunk(
                slice(inner + start, inner + min(start + size, rows)),
                slice(outer + start, outer + min(start + size, rows)),
            )
            for start in range(0, rows, size)
        ]
        if weights.grn_gamma is None:
            yield from ([chunk] for chunk in chunks)
        else:
            yield chunks


def select(x: Tensor, kept: Sequence[int]) -> Tensor:
    """Return the kept samples of (N, C, H, W): a view where they are adjacent."""
    run = _run(kept)
    if run is not None:
        return x[run]
    # index_select gives up channels_last: select from (N, H, W, C) and go back.
    return x.permute(0, 2, 3, 1).index_select(0, _index(x, kept)).permute(0, 3, 1, 2)


def add_to_kept(total: Tensor, part: Tensor, kept: Sequence[int]) -> Tensor:
    """Return ``total`` with ``part``, which it may overwrite, added to the kept."""
    if len(kept) == len(total):
        return part.add_(total)
    total = total.clone()
    run = _run(kept)
    if run is not None:
        total[run].add_(part)
    else:
        total.permute(0, 2, 3, 1).index_add_(
            0, _index(total, kept), part.permute(0, 2, 3, 1)
        )
    return total


def _run(kept: Sequence[int]) -> slice | None:
    """The kept samples as a slice, if they are adjacent."""
    first, last = kept[0], kept[-1]
    return slice(first, last + 1) if last - first + 1 == len(kept) else None


def _index(x: Tensor, kept: Sequence[int]) -> Tensor:
    return torch.tensor(kept).to(x.device, non_blocking=True)


def as_rows(x: Tensor) -> Tensor:
    """View (N, C, H, W), channels_last, as (N * H * W, C)."""
    return x.permute(0, 2, 3, 1).view(-1, x.shape[1])
