import json
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from support.commands import DET, QUICK, SEG, SMALL, tool
from support.paths import ROOT

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.tasks.evaluate import dump_config


@pytest.mark.parametrize(
    ('option', 'place', 'message'),
    [
        ('--out', 'file/a.json', 'writing {}/file/a.json: Not a directory ({}/file)'),
        ('--out', 'folder.pkl', 'writing {}/folder.pkl: Is a directory'),
        (
            '--out',
            'a.txt',
            '--out {}/a.txt: expected a file that ends in .json or .pkl',
        ),
        ('--show-dir', 'file', 'creating the folder {}/file: Not a directory'),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    demo, in_root, tmp_path, capsys, option, place, message
):
    (tmp_path / 'file').touch()
    (tmp_path / 'a.pth').touch()
    (tmp_path / 'folder.pkl').mkdir()
    argv = ['test', SEG, tmp_path / 'a.pth', '--data-root', demo]
    argv += ['--work-dir', tmp_path / 'work', option, tmp_path / place]
    assert tool(*argv) == 1
    told = message.replace('{}', str(tmp_path))
    assert capsys.readouterr().err == f'error: {told}\n'


def test_predictions_of_a_detector_and_of_others_as_pickle():
    assert dump_config('a.pkl', 'mmdet')['type'] == 'DumpDetResults'
    assert dump_config('a.pkl', 'mmseg')['type'] == 'DumpResults'
    with pytest.raises(UserError, match=r'ends in .json or .pkl'):
        dump_config('a', 'mmseg')


@pytest.fixture(scope='module')
def untrained(tmp_path_factory):
    """Return a function that saves a model of random weights, with class names."""
    states = {}

    def save(config: str, classes: tuple[str, ...] | None) -> Path:
        cfg = Config.fromfile(ROOT / config)
        if config not in states:
            init_default_scope(cfg.default_scope)
            torch.manual_seed(0)
            states[config] = MODELS.build(cfg.model).state_dict()
            DefaultScope._instance_dict.clear()
        path = tmp_path_factory.mktemp('model') / 'epoch_1.pth'
        meta = {'epoch': 1, 'iter': 2}
        if classes is not None:
            meta['dataset_meta'] = {'classes': classes}
        torch.save({'meta': meta, 'state_dict': states[config]}, path)
        return path

    return save


def classes_of(config: str) -> tuple[str, ...]:
    return tuple(Config.fromfile(ROOT / config).metainfo.classes)


def run_test(config, checkpoint, demo, work_dir, *options: object) -> int:
    argv = [config, checkpoint, '--data-root', demo, '--work-dir', work_dir]
    return tool('test', *argv, '--cfg-options', *SMALL, *options)


@pytest.mark.parametrize(
    ('config', 'order'),
    [(DET, slice(None, None, -1)), (SEG, slice(None, None, -1)), (SEG, [1, 0])],
)
def test_a_checkpoint_with_its_classes_in_another_order_is_refused(
    untrained, demo, in_root, tmp_path, capsys, config, order
):
    given = classes_of(config)
    trained = given[order] if isinstance(order, slice) else (*given[1::-1], *given[2:])
    checkpoint = untrained(config, trained)
    assert run_test(config, checkpoint, demo, tmp_path) == 1
    error = capsys.readouterr().err
    assert (
        f'error: checkpoint {checkpoint} has the classes {", ".join(trained)}' in error
    )
    assert f'the test data has them in another order, {", ".join(given)}' in error
    assert not (tmp_path / 'metrics.json').exists()


def test_renamed_classes_are_a_warning_in_the_metrics_too(
    untrained, demo, in_root, tmp_path, capsys
):
    trained = ('ground', *classes_of(SEG)[1:])
    assert run_test(SEG, untrained(SEG, trained), demo, tmp_path) == 0
    (warning,) = json.loads((tmp_path / 'metrics.json').read_text())['warnings']
    assert "'ground' and 'background'" in warning
    assert warning in ''.join(capsys.readouterr())


def test_a_checkpoint_without_class_names_says_what_is_assumed(
    untrained, demo, in_root, tmp_path, capsys
):
    assert run_test(SEG, untrained(SEG, None), demo, tmp_path) == 0
    assert json.loads((tmp_path / 'metrics.json').read_text())['warnings'] == []
    assert 'The checkpoint does not name its classes' in ''.join(capsys.readouterr())


def test_an_evaluation_without_predictions_says_so(
    untrained, demo, in_root, tmp_path, capsys
):
    checkpoint = untrained(DET, classes_of(DET))
    nothing = 'model.test_cfg.rcnn.score_thr=1.1'
    assert run_test(DET, checkpoint, demo, tmp_path, nothing) == 0
    content = json.loads((tmp_path / 'metrics.json').read_text())
    (warning,) = content['warnings']
    assert warning.startswith('No predictions: the model found nothing in any of the 3')
    assert content['metrics']['coco/bbox_mAP'] == 0
    assert content['metrics']['coco/segm_disk_precision'] == 0
    assert warning in ''.join(capsys.readouterr())


def test_labels_that_begin_at_zero_are_told_at_the_start(
    untrained, demo, in_root, tmp_path, capsys
):
    masks = {}
    for path in (demo / 'annotations' / 'validation').glob('*.png'):
        masks[path] = path.read_bytes()
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask[mask == 7] = 1
        cv2.imwrite(str(path), mask - 1)
    try:
        checkpoint = untrained(SEG, classes_of(SEG))
        assert run_test(SEG, checkpoint, demo, tmp_path) == 0
    finally:
        for path, content in masks.items():
            path.write_bytes(content)
    (warning,) = json.loads((tmp_path / 'metrics.json').read_text())['warnings']
    assert '3 masks of the test data were read: label 7 is in none of them' in warning
    assert warning in ''.join(capsys.readouterr())


def test_a_training_is_not_resumed_with_classes_in_another_order(
    demo, in_root, tmp_path, capsys
):
    argv = [SEG, '--data-root', demo, '--work-dir', tmp_path, '--no-report']
    assert tool('train', *argv, '--cfg-options', *QUICK[SEG], *SMALL) == 0
    path = tmp_path / 'iter_2.pth'
    content = torch.load(path, weights_only=False)
    meta = content['meta']['dataset_meta']
    meta['classes'] = meta['classes'][::-1]
    torch.save(content, path)
    capsys.readouterr()
    argv += ['--cfg-options', *QUICK[SEG], *SMALL]
    assert tool('train', *argv, '--resume', path) == 1
    error = capsys.readouterr().err
    assert 'the training data has them in another order, background, disk' in error
    # To start from its weights is no error: the heads learn anew.
    assert tool('train', *argv, '--init', path) == 0
    assert 'The heads start with labels swapped' in ''.join(capsys.readouterr())
