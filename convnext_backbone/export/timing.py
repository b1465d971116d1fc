"""Times things in turn: each once a round, each round in another order.

What else the machine does meets all of them, and so does what one leaves in the caches
for the next.
"""

import random
import statistics
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from tqdm import tqdm

K = TypeVar('K', bound=Hashable)
# From the number of a round, a seed for what is random in it, to seconds by what.
Step = Callable[[int], dict[str, float]]


def measure(
    steps: Mapping[K, Step], rounds: int, title: str
) -> dict[K, dict[str, list[float]]]:
    """Run each step once a round, after a round that does not count.

    Args:
        steps: What to time, by contestant.
        rounds: How often.
        title: Of the progress bar.

    Returns:
        For each contestant the seconds of all rounds, by what was timed.
    """
    seconds: dict[K, dict[str, list[float]]] = {name: {} for name in steps}
    names = list(steps)
    order = random.Random(0)
    bar = tqdm(range(rounds + 1), title, disable=None, leave=False)
    for number in bar:
        for name in order.sample(names, len(names)):
            bar.set_postfix_str(str(name))
            for what, taken in steps[name](number).items():
                if number:  # the first round warms up
                    seconds[name].setdefault(what, []).append(taken)
    return seconds


def spread(seconds: list[float]) -> float:
    """Interquartile range, relative to the median; 0 of a single value."""
    if len(seconds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4, method='inclusive')
    return (high - low) / statistics.median(seconds)
