import pytest
from mmengine.config import Config

from convnext_backbone import UserError
from convnext_backbone.config.loading import (
    load_config,
    load_run_config,
    read_config,
    set_data_root,
)

CASCADE = 'configs/det/cascade_convnext_t_coco.py'


def test_a_missing_config_suggests_one(in_root):
    with pytest.raises(UserError, match='did you mean det/cascade_convnext_t_coco'):
        read_config('configs/det/cascade_convnext_tiny_coco.py')


@pytest.mark.parametrize('text', ['model = dict(', "_base_ = 'missing.py'", 'a = b'])
def test_a_broken_config_is_named(tmp_path, text):
    path = tmp_path / 'broken.py'
    path.write_text(text)
    with pytest.raises(UserError, match=r'broken\.py cannot be read'):
        read_config(str(path))


def test_data_root_replaces_every_path(in_root):
    cfg = Config.fromfile(CASCADE)
    set_data_root(cfg, '/data/mine')
    for split in ('train', 'val', 'test'):
        assert cfg[f'{split}_dataloader'].dataset.data_root == '/data/mine/'
    for key in ('val_evaluator', 'test_evaluator'):
        path = '/data/mine/annotations/instances_val2017.json'
        assert cfg[key].ann_file == path
    assert 'data/coco' not in cfg.pretty_text


def test_data_root_needs_something_to_replace():
    with pytest.raises(UserError, match='no top-level data_root'):
        set_data_root(Config(dict(model=dict())), '/data')


def test_load_config_applies_options_and_names_the_work_dir(in_root, tmp_path):
    options = {'optim_wrapper.optimizer.lr': 0.5}
    cfg = load_run_config(CASCADE, (), cfg_options=options)
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.work_dir == 'work_dirs/cascade_convnext_t_coco'
    assert cfg.launcher == 'none'
    cfg = load_run_config(CASCADE, (), work_dir=str(tmp_path), launcher='pytorch')
    assert (cfg.work_dir, cfg.launcher) == (str(tmp_path), 'pytorch')


def test_a_sibling_of_the_data_root_is_left_alone():
    cfg = Config(dict(data_root='data/coco', a='data/coco_panoptic/x', b='data/coco/y'))
    set_data_root(cfg, '/mine')
    assert (cfg.data_root, cfg.a, cfg.b) == (
        '/mine/',
        'data/coco_panoptic/x',
        '/mine/y',
    )


def test_an_option_that_does_not_fit_is_named(in_root):
    with pytest.raises(UserError, match='--cfg-options does not fit config'):
        load_config(CASCADE, cfg_options={'param_scheduler.7.end': 3})


def test_a_part_of_a_config_is_refused(in_root):
    with pytest.raises(UserError, match='has no model: give a config that stands'):
        load_config('configs/det/_base_/coco.py')
