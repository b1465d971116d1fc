"""The benchmark: everyone computes the same, and what is measured is what is told."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
from support.commands import tool
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convnext_backbone.benchmark import detector_step, machine
from convnext_backbone.benchmark.arch_specs import DETECTION_RATES, Arch, find_archs
from convnext_backbone.benchmark.equivalence import check
from convnext_backbone.benchmark.inference_variants import (
    VARIANTS,
    Variant,
    make_variants,
)
from convnext_backbone.benchmark.memory import Job, peak_memory
from convnext_backbone.benchmark.pairing import entrants, pairs
from convnext_backbone.benchmark.peers import OURS, PEERS, Contestant, absence, build
from convnext_backbone.benchmark.random_weights import random_state_dict
from convnext_backbone.benchmark.results import Row
from convnext_backbone.benchmark.shared_drop_path import KeptSamples, replace_drop_path
from convnext_backbone.benchmark.timed_steps import TrainingStep
from convnext_backbone.export.timing import measure, spread

ARCHS = ', '.join(DETECTION_RATES)
KEYS = {
    'what',
    'arch',
    'drop_path',
    'peer',
    'metric',
    'ours',
    'theirs',
    'ratio',
    'with_cp',
    'variant',
    'batch',
    'shape',
    'threads',
    'spread_ours',
    'spread_theirs',
}


def small(use_grn: bool = False) -> Arch:
    """A model of five blocks, of a size that every library has."""
    return Arch('tiny', 'tiny', (1, 1, 2, 1), (8, 16, 32, 64), use_grn, 0.6)


def contestants(
    arch: Arch, kept_samples: KeptSamples, *keys: tuple
) -> list[Contestant]:
    state = random_state_dict(arch)
    return [build(name, arch, kept_samples, state, with_cp) for name, with_cp in keys]


def kept_samples_of(arch: Arch) -> KeptSamples:
    return KeptSamples(arch.drop_path, sum(arch.depths))


def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def run_tool(*argv: object) -> int:
    return tool('benchmark', *argv)


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize('use_grn', [False, True], ids=['v1', 'v2'])
@pytest.mark.parametrize('name', PEERS)
def test_peer_computes_what_ours_does(name, use_grn, with_cp):
    arch = small(use_grn)
    if absence(name, arch, with_cp):
        assert name == 'torchvision' or (name == 'hf' and with_cp)
        return
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), (name, with_cp))
    check(ours, [peer], kept_samples, images())


@pytest.mark.parametrize('use_grn', [False, True], ids=['v1', 'v2'])
@pytest.mark.parametrize('level', ['selective', 'hidden', True])
def test_levels_of_checkpointing_compute_the_same(level, use_grn):
    arch = small(use_grn)
    kept_samples = kept_samples_of(arch)
    ours, other = contestants(arch, kept_samples, (OURS, False), (OURS, level))
    check(ours, [other], kept_samples, images())


@pytest.mark.parametrize('name', PEERS)
def test_one_wrong_weight_is_found(name):
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), (name, False))
    with torch.no_grad():
        peer.params['stages.2.1.gamma'].view(-1)[3] *= 1.01
    with pytest.raises(ValueError, match=f'{name} does not compute .* map 2 differs'):
        check(ours, [peer], kept_samples, images())


class TwiceTheGradient(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x):
        return tuple(out + (out - out.detach()) for out in self.body(x))


def test_a_wrong_gradient_is_found():
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), ('meta', False))
    wrong = Contestant('meta', TwiceTheGradient(peer.module), peer.params)
    with pytest.raises(ValueError, match='meta .* the gradient of .* differs by 1.0e'):
        check(ours, [wrong], kept_samples, images())


@pytest.mark.parametrize('name', PEERS)
def test_everyone_drops_the_same_samples(name):
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), (name, False))
    x = torch.randn(4, 3, 32, 32)
    dropped = 0
    for seed in range(4):
        outs, states = [], []
        for one in (ours, peer):
            one.module.train()
            one.seed(seed, kept_samples, len(x))
            outs.append(one.module(x))
            states.append(torch.get_rng_state())
        dropped += sum(int((~kept).sum()) for kept in kept_samples.kept[1:])
        for a, b in zip(*outs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
        # What comes after the backbone draws the same too.
        assert torch.equal(*states)
    assert dropped > 8


def test_other_samples_are_found():
    arch = small()
    kept_samples = kept_samples_of(arch)
    ours, peer = contestants(arch, kept_samples, (OURS, False), ('timm', False))
    for module in peer.module.modules():
        if hasattr(module, 'kept_samples'):
            module.kept_samples = kept_samples_of(arch)
            module.kept_samples.kept = [torch.zeros(2, dtype=torch.bool)] * 5
    with pytest.raises(ValueError, match='timm .* in training map'):
        check(ours, [peer], kept_samples, images())


def test_a_library_that_drops_paths_elsewhere_is_refused():
    with pytest.raises(ValueError, match='0 blocks with drop path, expected 4'):
        replace_drop_path(
            nn.Sequential(nn.Linear(2, 2)), KeptSamples(0.5, 5), divides=False
        )


def test_peers_with_full_checkpointing_compare_with_ours_of_that_level():
    keys, absent = entrants(small(), ['meta', 'hf'], [False, 'hidden', True])
    assert pairs(keys) == [
        ((OURS, False), ('meta', False)),
        ((OURS, False), ('hf', False)),
        ((OURS, 'hidden'), ('meta', False)),
        ((OURS, 'hidden'), ('hf', False)),
        ((OURS, True), ('meta', True)),
    ]
    assert [(gone.peer, gone.with_cp) for gone in absent] == [('hf', True)]


def test_a_package_that_is_missing_is_told(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name, *rest: None if name == 'timm' else real(name, *rest),
    )
    assert absence('timm', small()) == 'not installed'
    assert absence('meta', small()) is None


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


def test_flops_are_those_that_torch_counts():
    arch = small()
    kept_samples = KeptSamples(0.0, sum(arch.depths))
    (meta,) = contestants(arch, kept_samples, ('meta', False))
    with FlopCounterMode(display=False) as forward:
        outs = meta.module(torch.randn(2, 3, 64, 96))
    expected = machine.forward_flops(arch, 2, (64, 96))
    assert expected == forward.get_total_flops()
    with FlopCounterMode(display=False) as stem:
        meta.module.downsample_layers[0][0](torch.randn(2, 3, 64, 96))
    with FlopCounterMode(display=False) as backward:
        torch.autograd.backward(outs, [torch.ones_like(out) for out in outs])
    counts = [c.get_flop_counts()['Global'] for c in (forward, backward)]
    assert counts[1][torch.ops.aten.mm] == 2 * counts[0][torch.ops.aten.addmm]
    # Of depthwise convolutions torch counts C times the gradient of the weights.
    step = 3 * forward.get_total_flops() - stem.get_total_flops()
    assert machine.step_flops(arch, 2, (64, 96)) == step


def test_flops_of_dropped_samples_do_not_count():
    arch = small()
    first = machine.forward_flops(arch, 1, (64, 64), 0.5)
    second = machine.forward_flops(arch, 1, (64, 64), 0.8)
    none = machine.forward_flops(arch, 1, (64, 64))
    assert 0 < second < first < none
    assert (none - second) / (none - first) == pytest.approx(0.8 / 0.5)


def test_a_step_takes_part_of_its_time_for_the_forward_pass():
    arch = small()
    kept_samples = kept_samples_of(arch)
    (ours,) = contestants(arch, kept_samples, (OURS, False))
    seconds = TrainingStep(ours, kept_samples, images())(0)
    assert 0 < seconds['train'] < seconds['forward_backward']


def test_a_wrong_variant_is_found_and_a_missing_package_left_out():
    arch = small()
    (ours,) = contestants(arch, kept_samples_of(arch), (OURS, False))
    wrong = Variant(lambda model, images: lambda x: [1.01 * y for y in model(x)])
    with pytest.raises(ValueError, match='wrong does not compute'):
        make_variants(ours.module, images(), {'wrong': wrong})
    gone = Variant(VARIANTS['eager'].make, packages=('no_such_package',))
    assert make_variants(ours.module, images(), {'gone': gone}) == {}


@pytest.mark.parametrize('names', [['openvino', 'openvino int8'], ['onnx']])
def test_engines_compute_the_maps_of_the_backbone(names):
    (ours,) = contestants(small(), kept_samples_of(small()), (OURS, False))
    batch = torch.randn(1, 3, 64, 96)
    runs = make_variants(ours.module, batch, {name: VARIANTS[name] for name in names})
    assert list(runs) == names
    exact, *coarse = (run(batch) for run in runs.values())
    with torch.no_grad():
        expected = ours.module(batch)
    for one, true in zip(exact, expected, strict=True):
        torch.testing.assert_close(one, true, rtol=1e-4, atol=1e-4)
    for maps in coarse:  # eight bits were used
        assert not any(map(torch.equal, maps, exact))


def test_engines_are_left_out_where_they_cannot_run():
    (ours,) = contestants(small(), kept_samples_of(small()), (OURS, False))
    engines = {name: VARIANTS[name] for name in ('openvino', 'onnx')}
    assert make_variants(ours.module, torch.randn(1, 3, 64, 72), engines) == {}


@pytest.fixture(scope='module')
def ran(tmp_path_factory) -> tuple[list[dict], str, Path]:
    """Rows, what was printed, and the chart of a run."""
    folder = tmp_path_factory.mktemp('benchmark')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, 'SECONDS', 0.01)
        printed: list[str] = []
        patch.setattr('builtins.print', lambda *a, **k: printed.append(str(a[0])))
        argv = ['--archs', 'atto', '--against', 'mmpretrain,torchvision', '--rounds', 2]
        argv += ['--shape', 64, '--json', folder / 'rows.json']
        assert run_tool(*argv, '--out', folder / 'charts' / 'chart.png') == 0
    rows = json.loads((folder / 'rows.json').read_text())
    return rows, '\n'.join(printed), folder / 'charts' / 'chart.png'


def test_rows_of_a_run(ran):
    rows, printed, chart = ran
    assert all(set(row) >= KEYS for row in rows)
    keys = ('what', 'variant', 'metric', 'drop_path', 'with_cp')
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ('forward', 'eval', 'seconds', 0, False),
        ('forward', 'train', 'seconds', 0.1, False),
        ('forward', 'train', 'seconds', 0.1, 'selective'),
        ('forward_backward', 'train', 'seconds', 0.1, False),
        ('forward_backward', 'train', 'seconds', 0.1, 'selective'),
        ('forward_backward', 'train', 'peak_mb', 0.1, False),
        ('forward_backward', 'train', 'peak_mb', 0.1, 'selective'),
    ]
    for row in rows:
        assert (row['arch'], row['peer'], row['batch']) == ('atto', 'mmpretrain', 2)
        assert row['shape'] == [64, 64]  # one number is both
        assert row['threads'] == torch.get_num_threads()
        assert row['ratio'] == pytest.approx(row['ours'] / row['theirs'])
    assert all(0 < row['gemm_ours'] < 1.5 for row in rows[:5])
    assert re.search(r'torchvision +\| not available', printed)
    assert chart.read_bytes().startswith(b'\x89PNG')


def test_a_larger_model_takes_more_memory(ran):
    atto = ran[0][-1]
    (tiny,) = find_archs(['tiny'])
    peak = peak_memory(
        Job(OURS, tiny, 0.1, False, 2, (64, 64), 1, 'cpu', ['mmpretrain'])
    )
    for row in (atto['ours'], atto['theirs'], peak.peak_mb):
        assert row > peak.base_mb - 30
    # 25 M parameters more, and their gradients
    assert peak.peak_mb - atto['ours'] > 2 * 25 * 4 * 0.8
    assert peak.peak_mb < 4096


def test_an_interrupted_run_keeps_the_archs_that_are_done(tmp_path, monkeypatch, ran):
    fields = {k: v for k, v in ran[0][0].items() if k != 'ratio'}

    def compare(options):
        yield [Row(**fields)], []
        raise KeyboardInterrupt

    monkeypatch.setattr('convnext_backbone.cli.benchmark.compare', compare)
    path = tmp_path / 'rows.json'
    argv = ['--json', str(path), '--out', str(tmp_path / 'chart.png')]
    assert run_tool(*argv) == 130
    assert json.loads(path.read_text()) == ran[0][:1]


@pytest.mark.parametrize(
    'argv, message',
    [
        (['--against', 'meta,keras'], f'--against keras: .*{", ".join(PEERS)}'),
        (
            ['--archs', 'tiny', 'tinny'],
            f'--archs tinny: .*{ARCHS}',
        ),
        (['--shape', '16', '64'], '--shape 16 64: .* at least 32 pixels'),
        (['--rounds', '0'], '--rounds 0: expected a positive number'),
        (['--batch', '-1'], '--batch -1: expected a positive number'),
        (['--threads', '0'], '--threads 0: expected a positive number'),
        (['--drop-path', '1'], '--drop-path 1.0: expected probabilities'),
        (['--device', 'gpu0'], '--device gpu0: .* expected cpu'),
        (['--device', 'meta'], '--device meta: .* expected cpu'),
        (['--archs', ','], '--archs: expected at least one name'),
        (['--against', ','], '--against: expected at least one name'),
        (['--out', 'chart.pgf'], '--out chart.pgf: expected a file that ends in'),
        (['--what', 'step'], '--what step needs images: give --data-root'),
        (
            ['--what', 'step', '--data-root', '/no'],
            '/no: .* does not exist',
        ),
    ],
)
def test_what_is_not_valid_is_told(argv, message, capsys, monkeypatch, tmp_path):
    monkeypatch.delenv(detector_step.DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    assert run_tool(*argv) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line)


def test_a_shape_of_three_numbers_is_told(capsys):
    with pytest.raises(SystemExit):
        run_tool('--shape', 3, 64, 64)
    assert '--shape 3 64 64: expected height and width' in capsys.readouterr().err


def test_an_unknown_comparison_is_told_with_those_that_are_known(capsys):
    with pytest.raises(SystemExit):
        run_tool('--what', 'outfer')
    error = capsys.readouterr().err
    assert all(what in error for what in ('backbone', 'step', 'infer'))


@pytest.mark.slow
def test_detectors_of_different_backbones_take_the_same_step(data_dir):
    arch = small()
    kept_samples = kept_samples_of(arch)
    found = contestants(
        arch, kept_samples, (OURS, False), ('meta', False), ('timm', False)
    )
    batch = detector_step.load_batch(str(data_dir / 'coco_mini'), 2, (128, 160), 'cpu')
    assert batch['inputs'].shape == (2, 3, 128, 160)
    steps = {
        (c.name,): detector_step.DetectorStep(c, arch, kept_samples, batch)
        for c in found
    }
    detector_step.check_losses(steps)
    losses = []
    for step in steps.values():
        step.optimizer.zero_grad()
        loss = step.loss(1)  # a seed at which every block keeps a sample
        loss.backward()
        losses.append(loss.item())
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-4)
    for key, param in found[0].params.items():
        greatest = param.grad.abs().max()
        assert greatest > 0, key
        for other in found[1:]:
            difference = other.params[key].grad.reshape(param.shape) - param.grad
            assert difference.abs().max() < 0.01 * greatest, key
    for one, step in zip(found, steps.values(), strict=True):
        before = {key: p.detach().clone() for key, p in one.params.items()}
        assert step(1)['train_step'] > 0
        assert not any(torch.equal(p, before[k]) for k, p in one.params.items())
