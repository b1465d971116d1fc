"""The tools from end to end, on small data, as a user runs them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from pycocotools import mask as rle
from support.commands import DET, QUICK, SEG, SMALL, tool
from support.paths import ROOT


@pytest.fixture(scope='module')
def trained(tmp_path_factory, demo) -> dict[str, Path]:
    """One short training for each of the two tasks: config -> work dir."""
    dirs = {}
    for config in (DET, SEG):
        dirs[config] = tmp_path_factory.mktemp('work')
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            options = ['--cfg-options', *QUICK[config], *SMALL]
            argv = [config, '--data-root', demo, '--work-dir', dirs[config]]
            assert tool('train', *argv, '--seed', 1, *options) == 0
        DefaultScope._instance_dict.clear()
    return dirs


@pytest.mark.parametrize(('config', 'steps'), [(DET, 'epoch_1'), (SEG, 'iter_2')])
def test_train_leaves_checkpoints_and_logs(trained, config, steps):
    work_dir = trained[config]
    state = torch.load(work_dir / f'{steps}.pth', weights_only=False)
    assert state['meta']['iter'] == 2
    assert list(work_dir.glob('best_*.pth'))
    assert '<svg' in (work_dir / 'report.html').read_text()
    (log,) = work_dir.glob('2*/*.log')
    text = log.read_text()
    assert 'eta: ' in text
    assert 'the backbone starts from random ones until' in text
    scalars = [
        json.loads(line)
        for line in next(work_dir.glob('2*/vis_data/scalars.json'))
        .read_text()
        .splitlines()
    ]
    metric = 'coco/segm_mAP' if config == DET else 'mIoU'
    assert any(metric in entry for entry in scalars)
    assert list(work_dir.glob('2*/vis_data/events.out.tfevents.*'))


@pytest.mark.parametrize('config', [DET, SEG])
def test_test_reports_metrics_predictions_and_pictures(
    trained, demo, in_root, tmp_path, config
):
    argv = ['--data-root', demo, '--work-dir', tmp_path]
    argv += ['--show-dir', tmp_path / 'show', '--out', tmp_path / 'out.json']
    argv += ['--cfg-options', *SMALL]
    assert tool('test', config, trained[config], *argv) == 0
    report = json.loads((tmp_path / 'metrics.json').read_text())
    names = ['coco/bbox_mAP', 'coco/segm_mAP'] if config == DET else ['mIoU', 'aAcc']
    for name in names:
        assert 0 <= report['metrics'][name] <= 100
    predictions = json.loads((tmp_path / 'out.json').read_text())
    assert len(predictions) == 3
    key = 'instances' if config == DET else 'segments'
    assert all(p['height'] == p['width'] == 128 and key in p for p in predictions)
    for path in [tmp_path / 'show' / 'contact_sheet.png'] + [
        tmp_path / 'show' / 'images' / f'{Path(p["image"]).name}.png'
        for p in predictions
    ]:
        picture = cv2.imread(str(path))
        assert picture.shape[1] > picture.shape[0]
        assert picture.std() > 5


def test_test_writes_pickles_for_the_analysis_tools(trained, demo, in_root, tmp_path):
    from mmengine.fileio import load

    argv = ['--data-root', demo, '--work-dir', tmp_path, '--out', tmp_path / 'o.pkl']
    assert tool('test', DET, trained[DET], *argv, '--cfg-options', *SMALL) == 0
    results = load(tmp_path / 'o.pkl')
    assert len(results) == 3
    assert 'pred_instances' in results[0]


@pytest.mark.parametrize('config', [DET, SEG])
def test_infer_draws_and_describes_and_reports_what_it_cannot_read(
    trained, demo, in_root, tmp_path, config, capsys
):
    folder = tmp_path / 'in'
    (folder / 'deeper').mkdir(parents=True)
    images = sorted((demo / 'images' / 'validation').glob('*.png'))
    (folder / 'a.png').write_bytes(images[0].read_bytes())
    (folder / 'deeper' / 'b.png').write_bytes(images[1].read_bytes())
    argv = [config, trained[config], folder, '--out-dir', tmp_path / 'out']
    assert tool('infer', *argv) == 0
    (folder / 'broken.jpg').write_bytes(b'\xff\xd8\xff not an image')
    _, jpeg = cv2.imencode('.jpg', cv2.imread(str(images[0])))
    (folder / 'cut.jpg').write_bytes(jpeg.tobytes()[: len(jpeg) // 2])
    assert tool('infer', *argv) == 1
    said = ''.join(capsys.readouterr())
    for name in ('broken.jpg', 'cut.jpg'):
        assert f'{name} cannot be predicted and is skipped' in said
    for name in ('a.png', 'deeper/b.png'):
        picture = cv2.imread(str(tmp_path / 'out' / name))
        assert min(picture.shape[:2]) >= 128
    predictions = json.loads((tmp_path / 'out' / 'predictions.json').read_text())
    assert [Path(p['image']).name for p in predictions] == ['a.png', 'b.png']
    if config == SEG:
        for prediction in predictions:
            masks = [rle.decode(s['segmentation']) for s in prediction['segments']]
            assert np.array_equal(sum(masks), np.ones((128, 128)))
    else:
        scores = [i['score'] for p in predictions for i in p['instances']]
        assert scores
        assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize(
    ('config', 'option'),
    [pytest.param(DET, 'epochs=2', marks=pytest.mark.slow), (SEG, 'iters=4')],
)
def test_resume_goes_on_where_training_stopped(
    trained, demo, in_root, tmp_path, config, option
):
    last = next(
        p for p in trained[config].glob('*_[12].pth') if not p.name.startswith('best')
    )
    argv = [config, '--data-root', demo, '--work-dir', tmp_path, '--resume', last]
    options = ['--cfg-options', *QUICK[config], *SMALL, f'train_cfg.max_{option}']
    assert tool('train', *argv, '--no-report', *options) == 0
    name = 'epoch_2.pth' if config == DET else 'iter_4.pth'
    assert torch.load(tmp_path / name, weights_only=False)['meta']['iter'] == 4
    (log,) = tmp_path.glob('2*/*.log')
    epoch = 1 if config == DET else 0
    assert f'resumed epoch: {epoch}, iter: 2' in log.read_text()
    # Nothing is left to do, and nothing is done again.
    argv[-2:] = ['--resume']
    assert tool('train', *argv, '--no-report', *options) == 0


def test_resume_without_a_checkpoint_says_so_and_trains(
    demo, in_root, tmp_path, capsys
):
    argv = [SEG, '--data-root', demo, '--work-dir', tmp_path, '--resume']
    options = ['--cfg-options', *QUICK[SEG], *SMALL]
    assert tool('train', *argv, '--no-report', *options) == 0
    assert 'holds no checkpoint yet' in ''.join(capsys.readouterr())


def test_amp_trains_on_a_cpu(demo, in_root, tmp_path, capsys):
    argv = [SEG, '--data-root', demo, '--work-dir', tmp_path, '--amp']
    assert (
        tool('train', *argv, '--no-report', '--cfg-options', *QUICK[SEG], *SMALL) == 0
    )
    if not torch.cuda.is_available():
        assert ''.join(capsys.readouterr()).count('AMP: no GPU here') == 1


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['train', 'configs/det/none.py'], 'config configs/det/none.py does not exist'),
        (['train', DET, '--data-root', '/no/where'], '/no/where does not exist'),
        (['test', DET, '/no/file.pth'], 'checkpoint /no/file.pth does not exist'),
        (['infer', DET, '/no.pth', 'x', '--out-dir', 'y'], 'checkpoint /no.pth does'),
    ],
)
def test_a_wrong_path_is_one_message(in_root, capsys, argv, message):
    assert tool(*argv) == 1
    err = capsys.readouterr().err
    assert err.startswith('error: ')
    assert message in err
    assert 'Traceback' not in err


def test_a_wrong_class_count_is_one_message(demo, in_root, capsys):
    option = 'model.roi_head.mask_head.num_classes=80'
    argv = [DET, '--data-root', demo, '--cfg-options', option]
    assert tool('train', *argv) == 1
    assert 'mask_head has num_classes=80' in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused(
    trained, demo, in_root, tmp_path, capsys
):
    argv = ['--data-root', demo, '--work-dir', tmp_path, '--cfg-options', *SMALL]
    assert tool('test', SEG, trained[DET], *argv) == 1
    assert 'is not of this model' in capsys.readouterr().err
    text = tmp_path / 'text.pth'
    text.write_text('not a checkpoint')
    assert tool('test', SEG, text, *argv) == 2
    assert 'text.pth is text, not weights' in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_not_resumed(
    trained, demo, in_root, tmp_path, capsys
):
    checkpoint = trained[DET] / 'epoch_1.pth'
    argv = [SEG, '--data-root', demo, '--work-dir', tmp_path, '--resume', checkpoint]
    assert tool('train', *argv, '--cfg-options', *QUICK[SEG], *SMALL) == 1
    assert 'is not of this model' in capsys.readouterr().err


def test_an_evaluation_leaves_the_config_of_the_training(
    trained, demo, in_root, tmp_path
):
    path = trained[DET] / Path(DET).name
    before = path.read_text()
    assert 'FasterCocoMetric' not in before
    argv = [DET, trained[DET], '--data-root', demo, '--work-dir', trained[DET]]
    argv += ['--show-dir', tmp_path]
    assert tool('test', *argv, '--cfg-options', *SMALL) == 0
    assert path.read_text() == before


def test_an_empty_folder_is_one_message(trained, in_root, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    argv = [DET, trained[DET], tmp_path / 'empty', '--out-dir', tmp_path / 'out']
    assert tool('infer', *argv) == 1
    assert 'holds no image' in capsys.readouterr().err


@pytest.mark.parametrize('config', [pytest.param(DET, marks=pytest.mark.slow), SEG])
def test_several_views_are_merged_when_asked_for(
    trained, demo, in_root, tmp_path, config
):
    argv = ['--data-root', demo, '--work-dir', tmp_path, '--tta']
    argv += ['--show-dir', tmp_path / 'show', '--cfg-options', *SMALL]
    assert tool('test', config, trained[config], *argv) == 0
    metrics = json.loads((tmp_path / 'metrics.json').read_text())['metrics']
    assert 'mIoU' in metrics or 'coco/segm_mAP' in metrics
    assert cv2.imread(str(tmp_path / 'show' / 'contact_sheet.png')).std() > 5
