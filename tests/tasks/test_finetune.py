"""tools/finetune.py from end to end, on small data, as a user runs it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from support.commands import tool
from support.paths import ROOT

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import CheckpointRef
from convnext_backbone.datasets import cache
from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.tasks import initial_weights
from convnext_backbone.tasks import train as training
from convnext_backbone.tasks.finetune import run as running
from convnext_backbone.tasks.finetune.config_text import write_config
from convnext_backbone.tasks.initial_weights import InitialWeights

DET, SEG = 'det/mask_convnext_atto_nuclei', 'seg/upernet_convnext_atto_demo'
SCRATCH = ['--from-scratch']


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('demo') / 'shapes'
    make_demo_data(root, train=6, val=3, size=128)
    return root


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path) -> Path:
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    MMLogger._instance_dict.clear()  # the last test's writes to a stream that is closed
    return tmp_path / 'home' / 'datasets'


def tree(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob('*') if path.suffix != '.log')
    return {str(path): path.stat().st_mtime_ns for path in files}


def checkpoints(work_dir: Path) -> set[str]:
    return {path.name for path in work_dir.glob('*.pth')}


@pytest.fixture(scope='module')
def trained(demo, tmp_path_factory) -> tuple[list, Path]:
    """A short training: the command and its work dir."""
    work_dir = tmp_path_factory.mktemp('work') / 'seg'
    command = [demo, '--base', SEG, *SCRATCH, '--iters', 2, '--work-dir', work_dir]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('CONVNEXT_HOME', str(work_dir.parent / 'home'))
        assert tool('finetune', *command) == 0
    return command, work_dir


@pytest.mark.slow
def test_a_detector_goes_on_where_it_was(demo, tmp_path, own_cache):
    originals = tree(demo)
    work_dir = tmp_path / 'work'
    command = [demo, '--base', DET, *SCRATCH, '--epochs', 2, '--work-dir', work_dir]
    assert tool('finetune', *command) == 0
    assert tree(demo) == originals
    assert 'epoch_2.pth' in checkpoints(work_dir)
    cfg = Config.fromfile(work_dir / 'config.py')
    assert cfg.train_dataloader.dataset.metainfo.classes[0] == 'disk'
    state = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    assert 'ema_state_dict' in state
    (converted,) = (p for p in own_cache.iterdir() if p.is_dir())
    written, before = tree(converted), checkpoints(work_dir)

    (work_dir / 'epoch_2.pth').unlink()  # as if it had been killed in its last epoch
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_1.pth'))
    for path in work_dir.glob('*/run.json'):
        path.unlink()
    assert tool('finetune', *command) == 0
    assert tree(converted) == written
    assert checkpoints(work_dir) == before


@pytest.mark.slow
def test_a_finished_training_is_left_alone(trained, monkeypatch):
    command, work_dir = trained
    before = tree(work_dir)
    monkeypatch.setattr(running, 'train', None)
    assert tool('finetune', *command) == 0
    assert tree(work_dir) == before


@pytest.mark.slow
def test_the_config_is_the_users_to_edit(trained):
    _, work_dir = trained
    config = work_dir / 'config.py'
    text = config.read_text().replace('seed=0', 'seed=7')
    config.write_text(text)
    argv = ['--no-report', '--cfg-options', 'train_cfg.max_iters=3']
    assert tool('train', config, *argv) == 0
    assert config.read_text() == text
    run = json.loads(max(work_dir.glob('2*/run.json')).read_text())
    assert run['seed'] == 7
    assert run['finished']
    assert run['peak_memory_mb'] > 100


@pytest.mark.slow
def test_another_command_does_not_touch_a_work_dir(trained, capsys):
    command, work_dir = trained
    before = tree(work_dir)
    assert tool('finetune', *command, '--iters', 5) == 1
    assert 'iters=2, not 5' in capsys.readouterr().err
    assert tree(work_dir) == before


def test_a_dry_run_writes_nothing(demo, tmp_path, own_cache, capsys):
    assert tool('finetune', demo, '--base', DET, '--dry-run') == 0
    out = capsys.readouterr().out
    assert "_base_ = 'convnext_backbone::det/mask_convnext_atto_nuclei.py'" in out
    assert 'timm://convnext_atto' in out
    assert not own_cache.exists()
    assert not (tmp_path / 'work_dirs').exists()


def test_unreachable_weights_are_told_first(demo, tmp_path, monkeypatch, capsys):
    url = 'http://127.0.0.1:9/convnext.pth'
    monkeypatch.setattr(
        'convnext_backbone.tasks.finetune.run.default_weights',
        lambda base: InitialWeights('backbone', CheckpointRef.parse(url)),
    )
    assert tool('finetune', demo, '--base', DET) == 1
    error = capsys.readouterr().err
    assert url in error
    assert '--from-scratch' in error
    assert 'Traceback' not in error
    assert not (tmp_path / 'work_dirs').exists()


def test_starts_from_the_weights_that_are_given(demo, tmp_path):
    weights = tmp_path / 'a.pth'
    torch.save(ConvNeXt('atto').state_dict(), weights)
    options = running.Options(str(demo), DET, init='a.pth')
    plan = running.make_plan(options, tmp_path / 'work')
    assert plan.weights.of == 'model'
    assert str(plan.weights.reference) == str(weights)
    assert f"load_from = '{weights}'" in write_config(plan)


def test_weights_are_fetched_once_a_run(demo, tmp_path, monkeypatch):
    class StopError(Exception):
        pass

    def stop(cfg):
        raise StopError

    fetched = []
    monkeypatch.setattr(initial_weights, 'fetch', lambda ref: fetched.append(str(ref)))
    monkeypatch.setattr(training.Runner, 'from_cfg', stop)
    weights = tmp_path / 'a.pth'
    torch.save({'model_ema': ConvNeXt('atto').state_dict()}, weights)
    options = running.Options(str(demo), DET, init=f'{weights}#model_ema')
    for runs in (1, 2):  # the second finds the config and goes on with it
        with pytest.raises(StopError):
            running.finetune(options, str(tmp_path / 'work'))
        assert fetched == [f'{weights}#model_ema'] * runs


@pytest.mark.parametrize('content', ['{', '[]', '{}'])
def test_a_damaged_record_is_told(demo, tmp_path, content):
    work = tmp_path / 'work'
    work.mkdir()
    (work / 'config.py').touch()
    (work / running.RECORD).write_text(content)
    with pytest.raises(UserError, match='is damaged'):
        running.finetune(running.Options(str(demo), DET), str(work))


def test_a_launcher_that_started_nothing_is_told(monkeypatch):
    monkeypatch.delenv('SLURM_PROCID', raising=False)
    with pytest.raises(UserError, match=r'--launcher slurm needs .*SLURM_PROCID'):
        running.position('slurm')


def test_a_work_dir_that_cannot_be_made_is_told(demo, tmp_path):
    (tmp_path / 'file').touch()
    options = running.Options(str(demo), DET, from_scratch=True)
    with pytest.raises(UserError, match='writing into --work-dir: '):
        running.finetune(options, str(tmp_path / 'file' / 'work'))


def test_a_base_that_starts_from_a_model(demo, tmp_path):
    base = tmp_path / 'base.py'
    base.write_text(f"_base_ = 'convnext_backbone::{DET}.py'\nload_from = 'b.pth'\n")
    for scratch, line in ((False, "load_from = 'b.pth'"), (True, 'load_from = None')):
        options = running.Options(str(demo), str(base), from_scratch=scratch)
        assert line in running.preview(options, str(tmp_path / 'work'))


def test_faulty_data_stops_before_anything_is_written(demo, tmp_path, capsys):
    broken = tmp_path / 'broken'
    shutil.copytree(demo, broken)
    image = next((broken / 'images' / 'training').iterdir())
    image.write_bytes(image.read_bytes()[:500])
    command = [broken, '--base', DET, *SCRATCH, '--work-dir', tmp_path / 'work']
    assert tool('finetune', *command) == 1
    error = capsys.readouterr().err
    assert str(image) in error
    assert 'truncated-image' in error
    assert not (tmp_path / 'work').exists()


def test_changed_data_is_told(demo, tmp_path, capsys):
    data = tmp_path / 'data'
    shutil.copytree(demo, data)
    options = running.Options(str(data), DET, from_scratch=True)
    work_dir = tmp_path / 'work'
    plan = running.make_plan(options, work_dir)
    work_dir.mkdir()
    record = running.record(options, plan.data.folder)
    (work_dir / running.RECORD).write_text(json.dumps(record))
    running.check_same(options, work_dir)
    shutil.rmtree(plan.data.folder)
    running.check_same(options, work_dir)
    assert plan.data.folder.is_dir()
    (data / 'annotations' / 'val.json').touch()
    with pytest.raises(ValueError, match='has changed since'):
        running.check_same(options, work_dir)


def test_foreign_configs_are_not_taken_over(demo, tmp_path, capsys):
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    (work_dir / 'config.py').write_text('model = 3')
    assert tool('finetune', demo, '--base', DET, *SCRATCH, '--work-dir', work_dir) == 1
    assert 'was not written here' in capsys.readouterr().err


def test_a_conversion_that_broke_off_is_finished(demo, monkeypatch, own_cache):
    from convnext_backbone.datasets import convert, find_source

    source = find_source(demo, task='seg')
    write, done = convert._write_mask, []

    def killed(*job):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(write(*job))

    monkeypatch.setattr(convert, 'CHUNK', 99)  # in this process
    monkeypatch.setattr(convert, '_write_mask', killed)
    with pytest.raises(KeyboardInterrupt):
        cache.prepare(source, None, seed=0)
    (folder,) = (p for p in own_cache.iterdir() if p.is_dir())
    first = tree(folder)
    assert not (folder / cache.SUMMARY).exists()
    monkeypatch.setattr(convert, '_write_mask', write)
    data = cache.prepare(source, None, seed=0)
    assert data.folder == folder
    masks = {p: t for p, t in first.items() if p.endswith('.png')}
    assert len(masks) == 4
    assert masks.items() <= tree(folder).items()
    assert len(list(folder.rglob('*.png'))) == 9
    assert not cache.prepare(source, None, seed=0).news


def test_changed_data_is_converted_anew(demo, tmp_path):
    from convnext_backbone.datasets import find_source

    copy = tmp_path / 'copy'
    shutil.copytree(demo, copy)
    first = cache.prepare(find_source(copy, task='det'), None, seed=0)
    (copy / 'annotations' / 'train.json').touch()
    assert cache.prepare(find_source(copy, task='det'), None, seed=0).news
    some = cache.prepare(find_source(copy, task='det'), ('star', 'disk'), seed=0)
    assert some.folder != first.folder
    content = json.loads((some.folder / 'train.json').read_text())
    assert [c['name'] for c in content['categories']] == ['star', 'disk']
    assert {a['category_id'] for a in content['annotations']} <= {1, 2}


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on(demo, tmp_path):
    work_dir = tmp_path / 'work'
    command = [
        sys.executable,
        ROOT / 'tools' / 'finetune.py',
        demo,
        '--base',
        DET,
        *SCRATCH,
    ]
    command += ['--epochs', '6', '--work-dir', work_dir]
    quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL}
    run = subprocess.Popen(command, **quiet)
    end = time.monotonic() + 300
    while not (work_dir / 'epoch_2.pth').is_file():
        assert time.monotonic() < end
        assert run.poll() is None
        time.sleep(0.2)
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'taken as it is' in done.stdout
    assert 'Epoch(train)  [1]' not in done.stdout
    assert 'epoch_6.pth' in checkpoints(work_dir)
    assert any(name.startswith('best_') for name in checkpoints(work_dir))


@pytest.mark.slow
def test_two_processes(demo, tmp_path):
    work_dir = tmp_path / 'work'
    run = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
    run += ['--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0']
    run += [
        ROOT / 'tools' / 'finetune.py',
        demo,
        '--base',
        SEG,
        *SCRATCH,
        '--iters',
        '2',
    ]
    run += ['--work-dir', work_dir, '--launcher', 'pytorch']
    done = subprocess.run(run, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert 'iter_2.pth' in checkpoints(work_dir)
