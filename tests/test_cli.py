import argparse
import os

import pytest
from mmengine.config import Config

from convnext_backbone import checkpoints, cli
from convnext_backbone.convnext import ConvNeXt

CASCADE = 'configs/det/cascade_convnext_t_coco.py'


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_config_arguments(parser)
    cli.add_run_arguments(parser)
    return parser.parse_args(argv)


def test_an_error_of_the_package_is_one_message(capsys):
    assert cli.run(lambda: ConvNeXt('tinny')) == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith("error: arch='tinny' is unknown")
    assert len(err.splitlines()) == 1


def test_an_error_that_mmengine_passes_on_is_one_message(capsys):
    from mmengine.registry import MODELS

    config = dict(type='convnext_backbone.ConvNeXt', arch='tinny')
    assert cli.run(lambda: MODELS.build(config)) == 1
    assert "arch='tinny' is unknown" in capsys.readouterr().err


def test_errors_of_the_system_are_one_message(capsys, tmp_path):
    assert cli.run(lambda: open(tmp_path / 'missing')) == 1
    assert 'missing' in capsys.readouterr().err


def test_a_defect_keeps_its_traceback():
    def defect() -> int:
        return int('x')

    with pytest.raises(ValueError, match='invalid literal'):
        cli.run(defect)
    with pytest.raises(ZeroDivisionError):
        cli.run(lambda: 1 // 0)


def test_the_status_of_the_tool_is_kept():
    assert cli.run(lambda: 3) == 3


def test_an_interrupt_is_not_a_success(capsys):
    def interrupt() -> int:
        raise KeyboardInterrupt

    assert cli.run(interrupt) == 130


def test_a_missing_config_suggests_one(in_root):
    with pytest.raises(ValueError, match='did you mean det/cascade_convnext_t_coco'):
        cli.read_config('configs/det/cascade_convnext_tiny_coco.py')


@pytest.mark.parametrize('text', ['model = dict(', "_base_ = 'missing.py'", 'a = b'])
def test_a_broken_config_is_named(tmp_path, text):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'broken\.py cannot be read'):
        cli.read_config(str(path))


def test_data_root_replaces_every_path(in_root):
    cfg = Config.fromfile(CASCADE)
    cli.set_data_root(cfg, '/data/mine')
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == '/data/mine/'
    for key in ('val_evaluator', 'test_evaluator'):
        path = '/data/mine/annotations/instances_val2017.json'
        assert cfg[key].ann_file == path
    assert 'data/coco' not in cfg.pretty_text


def test_data_root_needs_something_to_replace():
    with pytest.raises(ValueError, match='no top-level data_root'):
        cli.set_data_root(Config(dict(model=dict())), '/data')


def test_load_config_applies_options_and_names_the_work_dir(in_root, tmp_path):
    args = parse(CASCADE, '--cfg-options', 'optim_wrapper.optimizer.lr=0.5')
    cfg = cli.load_config(args, splits=())
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.work_dir == 'work_dirs/cascade_convnext_t_coco'
    assert cfg.launcher == 'none'
    args = parse(CASCADE, '--work-dir', str(tmp_path))
    assert cli.load_config(args, splits=()).work_dir == str(tmp_path)


def test_a_sibling_of_the_data_root_is_left_alone():
    cfg = Config(dict(data_root='data/coco', a='data/coco_panoptic/x', b='data/coco/y'))
    cli.set_data_root(cfg, '/mine')
    assert (cfg.data_root, cfg.a, cfg.b) == (
        '/mine/',
        'data/coco_panoptic/x',
        '/mine/y',
    )


def test_an_option_without_a_value_is_a_usage_error(capsys):
    with pytest.raises(SystemExit, match='2'):
        parse(CASCADE, '--cfg-options', 'lr')
    assert "takes KEY=VALUE, got 'lr'" in capsys.readouterr().err


def test_an_option_that_does_not_fit_is_named(in_root):
    args = parse(CASCADE, '--cfg-options', 'param_scheduler.7.end=3')
    with pytest.raises(ValueError, match='--cfg-options does not fit config'):
        cli.load_config(args, splits=())


def test_a_part_of_a_config_is_refused(in_root):
    with pytest.raises(ValueError, match='has no model: give a config that stands'):
        cli.load_config(parse('configs/det/_base_/coco.py'), splits=())


def test_find_checkpoint_prefers_the_best(tmp_path):
    with pytest.raises(ValueError, match='holds no checkpoint'):
        checkpoints.pick_file(str(tmp_path))
    with pytest.raises(ValueError, match='does not exist: give a file, a work dir'):
        checkpoints.pick_file(str(tmp_path / 'epoch_9.pth'))
    last = tmp_path / 'epoch_2.pth'
    last.touch()
    (tmp_path / 'last_checkpoint').write_text(str(last))
    assert checkpoints.pick_file(str(tmp_path)) == str(last)
    for age, name in ((100, 'best_mIoU_iter_10.pth'), (50, 'best_mIoU_iter_20.pth')):
        path = tmp_path / name
        path.touch()
        os.utime(path, (2_000_000_000 - age,) * 2)
    assert checkpoints.pick_file(str(tmp_path)) == str(path)
    assert checkpoints.pick_file(str(last)) == str(last)
