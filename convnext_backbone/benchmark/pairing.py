"""Who takes part, and who is compared with whom."""

from collections.abc import Iterable, Sequence

from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.peers import OURS, absence
from convnext_backbone.benchmark.results import Absent

Key = tuple[str, bool | str]  # name of a contestant, and its checkpointing


def entrants(
    arch: Arch, peers: Sequence[str], levels: Sequence[bool | str]
) -> tuple[list[Key], list[Absent]]:
    """List ours at each level of checkpointing, and the peers as they compare with one.

    Peers recompute their blocks if ours does so at level True, and do not otherwise.

    Returns:
        Who takes part, and who cannot.
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
    """Pair each level of ours with the peers that do alike."""
    keys = list(keys)
    return [
        (ours, theirs)
        for ours in keys
        for theirs in keys
        if ours[0] == OURS != theirs[0] and theirs[1] is (ours[1] is True)
    ]
