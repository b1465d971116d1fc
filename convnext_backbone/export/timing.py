"""Times contestants in turn: each once a round, every round in another order.

Other load on the machine, and what one contestant leaves in the caches for the next,
then affect all of them alike.
"""

import random
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

K = TypeVar('K', bound=Hashable)
# Takes the number of the round, which serves as a seed, and returns seconds by the name
# of what was timed.
Step = Callable[[int], dict[str, float]]


def measure(
    steps: Mapping[K, Step], rounds: int, title: str
) -> dict[K, dict[str, list[float]]]:
    """Run each step once a round, after a first round as warm-up.

    Args:
        steps: The step of each contestant.
        rounds: Number of rounds, without the warm-up.
        title: Title of the progress bar.

    Returns:
        For each contestant the seconds of all rounds, by the name of what was timed.
    """
    seconds: dict[K, dict[str, list[float]]] = {name: {} for name in steps}
    names = list(steps)
    order = random.Random(0)
    bar = tqdm(range(rounds + 1), title, disable=None, leave=False)
    for number in bar:
        for name in order.sample(names, len(names)):
            bar.set_postfix_str(str(name))
            for what, taken in steps[name](number).items():
                if number:  # round 0 is the warm-up
                    seconds[name].setdefault(what, []).append(taken)
    return seconds


def spread(seconds: list[float]) -> float:
    """Return the interquartile range, relative to the median; 0 of one value."""
    if len(seconds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4, method='inclusive')
    return (high - low) / statistics.median(seconds)


def milliseconds(
    models: Mapping[str, Callable[[Tensor], object]], images: Tensor, rounds: int = 7
) -> dict[str, float]:
    """Time the inference of models in turn.

    Args:
        models: The models, by name.
        images: The batch that they get, on the CPU.
        rounds: How often each one runs.

    Returns:
        The median of each model, in milliseconds an image.
    """

    def timed(model: Callable[[Tensor], object]) -> Step:
        def step(_: int) -> dict[str, float]:
            start = time.perf_counter()
            model(images)
            return {'seconds': time.perf_counter() - start}

        return step

    steps = {name: timed(model) for name, model in models.items()}
    with torch.inference_mode():
        times = measure(steps, rounds, 'timing')
    return {
        name: 1000 * statistics.median(taken['seconds']) / len(images)
        for name, taken in times.items()
    }
