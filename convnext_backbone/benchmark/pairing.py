"""Which backbones take part, and which of them are compared with each other."""

from collections.abc import Iterable, Sequence

from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.peers import OURS, absence
from convnext_backbone.benchmark.results import Absent

Key = tuple[str, bool | str]  # name of a contestant, its level of checkpointing


def entrants(
    arch: Arch, peers: Sequence[str], levels: Sequence[bool | str]
) -> tuple[list[Key], list[Absent]]:
    """List ours at each level of checkpointing, and the peers to compare it with.

    The peers recompute their blocks to be compared with ours at level True, and do not
    for the other levels.

    Args:
        arch: The architecture.
        peers: Names of the peers.
        levels: Levels of checkpointing of ours.

    Returns:
        The contestants, and the peers that cannot take part.
    """
    keys: list[Key] = [(OURS, level) for level in dict.fromkeys(levels)]
    absent = []
    for name in peers:
        missing = absence(name, arch)
        if missing:
            absent.append(Absent(arch.name, name, False, missing))
            continue
        for with_cp in dict.fromkeys(level is True for level in levels):
            reason = absence(name, arch, with_cp)
            if reason is None:
                keys.append((name, with_cp))
            else:
                absent.append(Absent(arch.name, name, with_cp, reason))
    return keys, absent


def pairs(keys: Iterable[Key]) -> list[tuple[Key, Key]]:
    """Pair ours at each level with the peers that recompute as it does."""
    keys = list(keys)
    return [
        (ours, theirs)
        for ours in keys
        for theirs in keys
        if ours[0] == OURS != theirs[0] and theirs[1] is (ours[1] is True)
    ]
