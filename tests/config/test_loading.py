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


@pytest.mark.parametrize(
    ('name', 'root'),
    [
        ('det/cascade_convnext_t_coco', '/data/mine/'),
        ('det/fcos_convnext_t_coco', 'other'),
        ('seg/upernet_convnext_t_ade20k', '../ade/'),
    ],
)
def test_data_root_as_an_option_does_what_the_argument_does(in_root, name, root):
    wanted = load_config(name, data_root=root)
    cfg = load_config(name, cfg_options={'data_root': root})
    assert cfg.pretty_text == wanted.pretty_text
    assert cfg.train_dataloader.dataset.data_root.startswith(root)


def test_other_options_change_single_paths_of_another_data_root(in_root):
    key = 'train_dataloader.dataset.data_root'
    cfg = load_config(CASCADE, cfg_options={'data_root': '/a/', key: 'data/coco/'})
    assert cfg.train_dataloader.dataset.data_root == 'data/coco/'
    assert cfg.val_dataloader.dataset.data_root == '/a/'


def test_two_data_roots_are_refused(in_root):
    with pytest.raises(UserError, match='--data-root b and --cfg-options data_root=a'):
        load_config(CASCADE, cfg_options={'data_root': 'a'}, data_root='b')


@pytest.mark.parametrize(
    ('name', 'option', 'places'),
    [
        ('seg/upernet_convnext_t_ade20k', 'norm_cfg', 'model.decode_head.norm_cfg'),
        ('det/cascade_convnext_t_coco', 'train_pipeline', 'train_dataloader.dataset.p'),
        ('det/cascade_convnext_atto_demo', 'metainfo.classes', 'dataset.metainfo'),
    ],
)
def test_a_variable_that_was_used_already_is_refused(in_root, name, option, places):
    with pytest.raises(UserError, match=f'{option}=... has no effect') as caught:
        load_config(name, cfg_options={option: (1, 2)})
    assert places in str(caught.value)


@pytest.mark.parametrize(
    'options',
    [
        {'load_from': 'x.pth'},
        {'auto_scale_lr.enable': True},
        {'mine': 3},
        {'model.data_preprocessor.mean': [0.0, 0.0, 0.0]},
    ],
)
def test_what_is_read_later_may_be_set(in_root, options):
    cfg = load_config(CASCADE, cfg_options=options)
    node = cfg
    ((key, value),) = options.items()
    for part in key.split('.'):
        node = node[part]
    assert node == value


def test_numbers_that_are_equal_by_chance_are_no_copies(tmp_path):
    path = tmp_path / 'c.py'
    path.write_text(
        'batch = 2\nlr = 0.1\n'
        "model = dict(type='A', lr=0.5)\n"
        'train_dataloader = dict(batch_size=2)\n'
        'optim_wrapper = dict(optimizer=dict(lr=lr))\n'
    )
    assert load_config(str(path), cfg_options={'batch': 4}).batch == 4
    with pytest.raises(UserError, match=r'; set optim_wrapper\.optimizer\.lr instead'):
        load_config(str(path), cfg_options={'lr': 4})
