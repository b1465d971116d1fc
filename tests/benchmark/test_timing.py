"""What is timed, in which order, and how it is summed up."""

import pytest
from support.small_backbones import contestants, images, kept_samples_of, small

from convnext_backbone.benchmark.peers import OURS
from convnext_backbone.benchmark.timed_steps import TrainingStep
from convnext_backbone.export.timing import measure, spread


def test_everyone_takes_turns_and_the_first_round_does_not_count():
    order = []

    def step(name):
        def run(seed):
            order.append((seed, name))
            return {'all': float(seed)}

        return run

    seconds = measure({name: step(name) for name in 'abc'}, rounds=12, title='')
    rounds = [float(i) for i in range(1, 13)]
    assert seconds == {name: {'all': rounds} for name in 'abc'}
    turns = [''.join(n for s, n in order if s == seed) for seed in range(13)]
    assert all(sorted(turn) == list('abc') for turn in turns)
    # Each follows each, for one leaves something in the caches for the next.
    assert {turn[i : i + 2] for turn in turns for i in (0, 1)} == {
        a + b for a in 'abc' for b in 'abc' if a != b
    }


def test_spread():
    assert spread([5.0]) == 0
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)


def test_a_step_takes_part_of_its_time_for_the_forward_pass():
    arch = small()
    kept_samples = kept_samples_of(arch)
    (ours,) = contestants(arch, kept_samples, (OURS, False))
    seconds = TrainingStep(ours, kept_samples, images())(0)
    assert 0 < seconds['train'] < seconds['forward_backward']
