"""Checkpoints on the command line: what loads, what is refused, what is written."""

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from support.commands import DET, QUICK, SEG, SMALL, tool
from support.file_server import FileServer
from support.paths import ROOT

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import published
from convnext_backbone.demo_scenes import make_demo_data


@pytest.fixture(autouse=True)
def own_logger():
    yield
    MMLogger._instance_dict.clear()  # its handlers write to this test's streams


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('demo') / 'data'
    make_demo_data(root, train=2, val=2, size=96)
    return root


def build(config: str, **options) -> torch.nn.Module:
    cfg = Config.fromfile(str(ROOT / config))
    cfg.merge_from_dict(options)
    init_default_scope(cfg.default_scope)
    return MODELS.build(cfg.model)


@pytest.fixture(scope='module')
def segmentor(tmp_path_factory) -> Path:
    """A whole model under the names that Meta's files have."""
    path = tmp_path_factory.mktemp('seg') / 'segmentor.pth'
    meta = {'mmseg_version': '0.11.0', 'CLASSES': ('x',) * 7, 'PALETTE': [[0] * 3] * 7}
    torch.save({'meta': meta, 'state_dict': build(SEG).state_dict()}, path)
    return path


@pytest.fixture(scope='module')
def classifier(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('cls') / 'atto.pth'
    state = ConvNeXt(arch='atto').state_dict()
    torch.save({'model': {k: v for k, v in state.items() if k[:4] != 'norm'}}, path)
    return path


def train(demo, work_dir, *argv, config=SEG, options=()) -> int:
    options = ['--cfg-options', *QUICK[config], *SMALL, *options]
    argv = ['--data-root', demo, '--work-dir', work_dir, *argv]
    return tool('train', config, *argv, '--no-report', *options)


@pytest.fixture(scope='module')
def trained(tmp_path_factory, demo) -> Path:
    """The work dir of a short training."""
    work_dir = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert train(demo, work_dir) == 0
    DefaultScope._instance_dict.clear()
    return work_dir


def log_of(work_dir: Path) -> str:
    return '\n'.join(path.read_text() for path in work_dir.glob('2*/*.log'))


def test_init_starts_a_training_from_a_classifier(in_root, demo, classifier, tmp_path):
    # A learning rate of 0 leaves the weights as they were loaded.
    options = ['optim_wrapper.optimizer.lr=0.0']
    assert train(demo, tmp_path, '--init', classifier, options=options) == 0
    log = log_of(tmp_path)
    assert f'weights from {classifier} (meta backbone, atto)' in log
    assert 'new: 8 (stage norms are new at fine-tuning)' in log.replace(
        'new: ', 'new: '
    )
    trained = checkpoints.read_checkpoint(str(tmp_path / 'iter_2.pth')).state
    given = checkpoints.read_checkpoint(str(classifier)).state
    key = 'stages.2.3.pwconv1.weight'
    assert torch.equal(trained[f'backbone.{key}'], given[key])


def test_init_takes_the_place_of_the_configs_weights(
    in_root, demo, classifier, tmp_path
):
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{in_root / SEG}'\n"
        'model = dict(backbone=dict(init_cfg=dict(_delete_=True, '
        "type='convnext_backbone.Checkpoint', source='/no/where.pth')))\n"
    )
    QUICK[str(config)] = QUICK[SEG]
    assert train(demo, tmp_path / 'w', config=str(config)) == 1
    argv = ['--init', classifier]
    assert train(demo, tmp_path / 'w', *argv, config=str(config)) == 0


def test_a_whole_model_is_fine_tuned_on_other_classes(
    in_root, demo, segmentor, tmp_path
):
    heads = ['model.decode_head', 'model.auxiliary_head']
    other = build(SEG, **{f'{head}.num_classes': 9 for head in heads})
    path = tmp_path / 'nine.pth'
    torch.save({'state_dict': other.state_dict()}, path)
    assert train(demo, tmp_path / 'w', options=[f'load_from={path}']) == 0
    assert 'another number of classes, 9 outputs in the file and 7 here' in log_of(
        tmp_path / 'w'
    )


def test_published_names_are_evaluated(
    in_root, demo, segmentor, tmp_path, monkeypatch, capsys
):
    with FileServer({'/upernet.pth': segmentor.read_bytes()}) as server:
        monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
        name = 'ade20k/upernet_convnext_tiny_1k_512x512'
        monkeypatch.setattr(
            published,
            'resolve',
            lambda given: {name: f'{server.url}/upernet.pth'}[given],
        )
        argv = ['--data-root', demo, '--work-dir', tmp_path, '--cfg-options', *SMALL]
        assert tool('test', SEG, f'meta://{name}', *argv) == 0
        assert 'mIoU' in ''.join(capsys.readouterr())
        image = next((demo / 'images' / 'validation').glob('*.png'))
        argv = [image, '--out-dir', tmp_path / 'out']
        assert tool('infer', SEG, f'meta://{name}', *argv) == 0
        assert len(server.requests) == 1  # the second run finds it in the cache


@pytest.mark.parametrize('name', ['detector', 'arch', 'v2', 'half'])
def test_what_does_not_fit_stops_before_training(
    in_root, demo, classifier, tmp_path, capsys, name
):
    state = checkpoints.read_checkpoint(str(classifier)).state
    wrong, message = {
        'detector': (build(DET).state_dict(), 'it is a detector with neck'),
        'arch': (ConvNeXt(arch='femto').state_dict(), "set arch='femto'"),
        'v2': (ConvNeXt(arch='atto', use_grn=True).state_dict(), 'set use_grn=True'),
        'half': (dict(list(state.items())[: len(state) // 2]), 'get it again'),
    }[name]
    torch.save(wrong, tmp_path / 'wrong.pth')
    assert train(demo, tmp_path / 'w', '--init', tmp_path / 'wrong.pth') == 1
    err = capsys.readouterr().err
    assert err.startswith('error: ')
    assert message in err
    assert 'Traceback' not in err
    assert 'Iter(train)' not in log_of(tmp_path / 'w')


class Touch:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def malicious(path: Path, marker: Path, state: dict) -> Path:
    torch.save({'state_dict': state, 'meta': Touch(marker)}, path)
    return path


@pytest.mark.parametrize(
    'command', ['init', 'load_from', 'resume', 'test', 'infer', 'convert']
)
def test_code_in_a_checkpoint_is_refused_everywhere(
    in_root, demo, segmentor, tmp_path, capsys, command
):
    marker = tmp_path / 'executed'
    state = checkpoints.read_checkpoint(str(segmentor)).state
    evil = malicious(tmp_path / 'evil.pth', marker, state)
    run = {
        'init': lambda: train(demo, tmp_path / 'w', '--init', evil),
        'load_from': lambda: train(demo, tmp_path / 'w', options=[f'load_from={evil}']),
        'resume': lambda: train(demo, tmp_path / 'w', '--resume', evil),
        'test': lambda: tool(
            'test', SEG, evil, '--data-root', demo, '--work-dir', tmp_path / 'w'
        ),
        'infer': lambda: tool(
            'infer', SEG, evil, demo / 'images', '--out-dir', tmp_path / 'out'
        ),
        'convert': lambda: tool(
            'convert_checkpoint', evil, tmp_path / 'out.pth', '--to', 'ours'
        ),
    }[command]
    assert run() == 2
    err = capsys.readouterr().err
    assert 'evil.pth was not loaded: ' in err
    assert '--trust-checkpoint' in err
    assert 'Traceback' not in err
    assert not marker.exists()
    assert not (tmp_path / 'out.pth').exists()
    with pytest.raises(pickle.UnpicklingError):  # it would have been refused by torch
        torch.load(evil, weights_only=True)


def test_trust_is_possible_and_says_what_it_means(classifier, tmp_path):
    marker = tmp_path / 'executed'
    state = checkpoints.read_checkpoint(str(classifier)).state
    evil = malicious(tmp_path / 'evil.pth', marker, state)
    command = [sys.executable, ROOT / 'tools' / 'convert_checkpoint.py', evil]
    command += [tmp_path / 'out.safetensors', '--to', 'timm', '--trust-checkpoint']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert 'any code' in result.stdout + result.stderr
    assert marker.exists()


def break_file(path: Path, how: str) -> str:
    """Damage a checkpoint; return what the message must hold."""
    content = path.read_bytes()
    if how == 'truncated':
        path.write_bytes(content[: len(content) // 2])
    elif how == 'corrupt':
        path.write_bytes(content[:2000] + bytes(1000) + content[3000:])
    elif how == 'empty':
        path.write_bytes(b'')
    elif how == 'html':
        path.write_bytes(b'<!DOCTYPE html><html><body>404</body></html>')
    elif how == 'bomb':
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr('a/data.pkl', bytes(50_000_000))
    elif how == 'nan':
        checkpoint = checkpoints.read_checkpoint(str(path)).content
        checkpoint['state_dict']['decode_head.conv_seg.weight'][0] = float('nan')
        torch.save(checkpoint, path)
    return {
        'truncated': 'damaged or cut off',
        'corrupt': 'damaged',
        'empty': 'is empty',
        'html': 'is a web page',
        'bomb': 'compressed',
        'nan': 'decode_head.conv_seg.weight',
    }[how]


@pytest.mark.parametrize(
    'how', ['truncated', 'empty', 'html', 'bomb', 'nan', 'corrupt']
)
def test_a_broken_file_is_one_message_and_leaves_the_cache(
    in_root, demo, segmentor, tmp_path, monkeypatch, capsys, how
):
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(segmentor.read_bytes())
    expected = break_file(broken, how)
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    argv = ['--data-root', demo, '--work-dir', tmp_path / 'w', '--cfg-options', *SMALL]
    with FileServer({'/broken.pth': broken.read_bytes()}) as server:
        assert tool('test', SEG, f'{server.url}/broken.pth', *argv) == 2
    err = capsys.readouterr().err
    assert err.count('error: ') == 1
    assert 'broken.pth' in err
    assert expected in err
    assert 'removed' in err
    assert 'Traceback' not in err
    assert not list((tmp_path / 'home').rglob('*.pth'))
    assert tool('test', SEG, broken, *argv) == 2
    assert broken.exists()  # what the user brought is never touched


def test_convert_never_overwrites_unasked(classifier, tmp_path, capsys):
    target = tmp_path / 'deep' / 'timm.safetensors'
    argv = [classifier, target, '--to', 'timm']
    assert tool('convert_checkpoint', *argv) == 0
    assert 'weights under the names of timm' in capsys.readouterr().out
    content = target.read_bytes()
    assert tool('convert_checkpoint', classifier, target, '--to', 'hf') == 1
    assert 'exists: give another name, or --force' in capsys.readouterr().err
    assert target.read_bytes() == content
    assert tool('convert_checkpoint', classifier, target, '--to', 'hf', '--force') == 0
    assert target.read_bytes() != content
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_convert_says_what_a_family_has_no_place_for(segmentor, tmp_path, capsys):
    argv = [segmentor, tmp_path / 'timm.pth', '--to', 'timm']
    assert tool('convert_checkpoint', *argv) == 0
    out = capsys.readouterr().out
    assert 'have no place there and were left out' in out
    assert 'norm0.weight' in out


def test_convert_keeps_a_whole_model(segmentor, tmp_path):
    there, back = tmp_path / 'mm.pth', tmp_path / 'back.pth'
    assert tool('convert_checkpoint', segmentor, there, '--to', 'mmpretrain') == 0
    names = checkpoints.read_checkpoint(str(there)).state
    assert 'backbone.stages.0.0.depthwise_conv.weight' in names
    assert tool('convert_checkpoint', there, back, '--to', 'meta') == 0
    state = checkpoints.read_checkpoint(str(segmentor)).content
    result = checkpoints.read_checkpoint(str(back)).content
    assert result['meta'] == state['meta']
    assert result['state_dict'].keys() == state['state_dict'].keys()
    for key, value in state['state_dict'].items():
        assert torch.equal(result['state_dict'][key], value)


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['x.pth', 'y.txt', '--to', 'timm'], 'ends in .safetensors'),
        (['/no/x.pth', 'y.pth', '--to', 'timm'], '/no/x.pth does not exist'),
    ],
)
def test_convert_tells_wrong_arguments(
    classifier, tmp_path, monkeypatch, capsys, argv, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'x.pth').write_bytes(classifier.read_bytes())
    assert tool('convert_checkpoint', *argv) == 1
    assert message in capsys.readouterr().err


def test_torchvision_has_no_v2(tmp_path, capsys):
    torch.save(ConvNeXt(arch='atto', use_grn=True).state_dict(), tmp_path / 'v2.pth')
    argv = [tmp_path / 'v2.pth', tmp_path / 'tv.pth', '--to', 'torchvision']
    assert tool('convert_checkpoint', *argv) == 1
    assert 'torchvision has no ConvNeXt V2' in capsys.readouterr().err


def test_resume_needs_the_state_of_a_training(
    in_root, demo, segmentor, tmp_path, capsys
):
    assert train(demo, tmp_path / 'w', '--resume', segmentor) == 1
    err = capsys.readouterr().err
    assert (
        'cannot be resumed from, it has no epoch, iter, message_hub, optimizer' in err
    )
    assert f'give it as --init {segmentor}' in err


def test_averaging_starts_from_the_given_weights(in_root, demo, classifier, tmp_path):
    config = tmp_path / 'averaged.py'
    config.write_text(
        f"_base_ = '{in_root / SEG}'\ncustom_hooks = [dict(type='EMAHook')]\n"
    )
    QUICK[str(config)] = [*QUICK[SEG], 'optim_wrapper.optimizer.lr=0.0']
    argv = ['--init', classifier]
    assert train(demo, tmp_path / 'w', *argv, config=str(config)) == 0
    saved = checkpoints.read_checkpoint(str(tmp_path / 'w' / 'iter_2.pth')).content
    given = checkpoints.read_checkpoint(str(classifier)).state
    key = 'stages.2.3.pwconv1.weight'
    for entry in ('state_dict', 'ema_state_dict'):
        found = next(
            v for k, v in saved[entry].items() if k.endswith(f'backbone.{key}')
        )
        torch.testing.assert_close(found, given[key])


def test_a_work_dir_and_a_hugging_face_folder_are_sources(
    in_root, demo, classifier, tmp_path
):
    folder = tmp_path / 'hf'
    argv = [classifier, folder / 'pytorch_model.bin', '--to', 'hf']
    assert tool('convert_checkpoint', *argv) == 0
    assert train(demo, tmp_path / 'w', '--init', folder) == 0
    argv = [tmp_path / 'w', tmp_path / 'timm.pth', '--to', 'timm']
    assert tool('convert_checkpoint', *argv) == 0


def test_resuming_into_another_folder_leaves_the_first_run_alone(
    in_root, demo, trained, tmp_path, capsys
):
    first, second = trained, tmp_path / 'second'
    files = sorted(p.name for p in first.glob('*.pth'))
    assert any(name.startswith('best_') for name in files)
    more = ['train_cfg.max_iters=4']
    assert train(demo, second, '--resume', first, options=more) == 0
    assert sorted(p.name for p in first.glob('*.pth')) == files
    assert list(second.glob('best_*.pth'))
    capsys.readouterr()
    argv = ['--resume', '--init', '/not/loaded.pth']
    assert tool('train', SEG, '--data-root', demo, *argv) == 1
    assert '/not/loaded.pth does not exist' in capsys.readouterr().err
    argv = ['--resume', '--init', first]
    assert train(demo, second, *argv, options=more) == 0
    said = ''.join(capsys.readouterr())
    assert f'--init {next(first.glob("best_*.pth"))} is not loaded: resuming' in said
    assert 'Nothing was left to train' in said


def test_the_best_checkpoint_has_no_state_to_resume_from(
    in_root, demo, trained, tmp_path, capsys
):
    best = next(trained.glob('best_*.pth'))
    assert train(demo, tmp_path, '--resume', best) == 1
    assert 'it has no optimizer: to start a training with its weights, give it as ' in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_cfg.max_iter=2', "unexpected keyword argument 'max_iter'"),
        (
            'model.backbone.init_cfg.type=convnext_backbone.Checkpoint',
            'takes source=..., sha256=... and adapt=..., got source=None, layer=',
        ),
    ],
)
def test_options_that_do_not_exist_are_one_message(
    in_root, demo, tmp_path, capsys, option, message
):
    assert train(demo, tmp_path, options=[option]) == 1
    err = capsys.readouterr().err
    assert err.startswith('error: ')
    assert message in err
    assert 'Traceback' not in err


def test_an_empty_name_is_told(in_root, demo, tmp_path, capsys):
    assert train(demo, tmp_path, '--init', '') == 1
    assert 'the checkpoint is an empty string' in capsys.readouterr().err
