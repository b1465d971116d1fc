import copy
import json

import numpy as np
import pytest
import torch
from mmengine.config import Config

from convnext_backbone.config.checks import check_config, check_ops, check_order
from convnext_backbone.config.loading import set_data_root
from convnext_backbone.config.parts import iter_datasets, iter_heads
from convnext_backbone.demo_scenes import make_demo_data
from convnext_backbone.openmmlab import mmcv_ext


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp('demo')
    make_demo_data(root, train=2, val=2, size=128)
    return root


def read(in_root, name: str, root) -> Config:
    cfg = Config.fromfile(f'configs/{name}.py')
    set_data_root(cfg, str(root))
    return cfg


def rewrite_categories(root, change) -> None:
    path = root / 'annotations' / 'train.json'
    content = json.loads(path.read_text())
    content['categories'] = change(content['categories'])
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    'name', ['det/cascade_convnext_atto_demo', 'seg/upernet_convnext_atto_demo']
)
def test_demo_configs_agree_with_the_demo_data(in_root, demo, name):
    check_config(read(in_root, name, demo), ('train', 'val', 'test'))


@pytest.mark.parametrize(
    ('name', 'path'),
    [
        ('det/cascade_convnext_t_coco', 'annotations/instances_train2017.json'),
        ('seg/upernet_convnext_t_ade20k', 'images/training'),
    ],
)
def test_a_missing_data_root_is_named_with_the_fix(in_root, tmp_path, name, path):
    cfg = read(in_root, name, tmp_path / 'nowhere')
    with pytest.raises(
        ValueError, match=f'nowhere does not exist.*{path}.*--data-root'
    ):
        check_config(cfg, ('train',))


def test_a_data_root_of_another_layout_is_told(in_root, demo):
    cfg = read(in_root, 'det/cascade_convnext_t_coco', demo)
    with pytest.raises(ValueError, match=r'train data: .* holds no annotations/inst'):
        check_config(cfg, ('train',))


def test_a_wrong_class_count_names_the_head_and_the_right_number(in_root, demo):
    cfg = read(in_root, 'det/cascade_convnext_atto_demo', demo)
    cfg.model.roi_head.bbox_head[1].num_classes = 80
    with pytest.raises(
        ValueError, match=r'roi_head\.bbox_head\.1 has num_classes=80.*num_classes=6'
    ):
        check_config(cfg, ('train',))
    cfg = read(in_root, 'seg/upernet_convnext_atto_demo', demo)
    cfg.model.auxiliary_head.num_classes = 5
    with pytest.raises(ValueError, match='auxiliary_head has num_classes=5'):
        check_config(cfg, ('val',))


def test_classes_of_the_data_set_type_count_too(in_root, demo):
    cfg = read(in_root, 'seg/upernet_convnext_t_ade20k', demo)
    cfg.train_dataloader.dataset.img_suffix = '.png'
    cfg.model.decode_head.num_classes = 7
    with pytest.raises(
        ValueError, match='num_classes=7, but the train data set has 150'
    ):
        check_config(cfg, ('train',))


def test_channels_must_be_those_of_the_arch(in_root):
    cfg = Config.fromfile('configs/det/cascade_convnext_t_coco.py')
    cfg.model.backbone.arch = 'base'
    with pytest.raises(ValueError, match=r'neck\.in_channels=\[128, 256, 512, 1024\]'):
        check_config(cfg, ())
    cfg = Config.fromfile('configs/seg/upernet_convnext_t_ade20k.py')
    cfg.model.backbone.arch = 'base'
    with pytest.raises(ValueError, match=r"decode_head has in_channels=.*arch 'base'"):
        check_config(cfg, ())


def test_a_class_that_the_annotations_lack_is_named(in_root, tmp_path):
    make_demo_data(tmp_path / 'd', train=1, val=1, size=128)
    rewrite_categories(tmp_path / 'd', lambda categories: categories[1:])
    cfg = read(in_root, 'det/cascade_convnext_atto_demo', tmp_path / 'd')
    with pytest.raises(ValueError, match='has no category disk; it has ring'):
        check_config(cfg, ('train',))


def test_a_category_that_is_there_twice_is_named(in_root, tmp_path):
    make_demo_data(tmp_path / 'd', train=1, val=1, size=128)
    rewrite_categories(
        tmp_path / 'd', lambda entries: [*entries, dict(id=70, name='star')]
    )
    cfg = read(in_root, 'det/cascade_convnext_atto_demo', tmp_path / 'd')
    with pytest.raises(ValueError, match="2 categories 'star', with the ids 5, 70"):
        check_config(cfg, ('train',))


def test_a_file_may_list_its_categories_in_any_order(in_root, tmp_path):
    make_demo_data(tmp_path / 'd', train=1, val=1, size=128)
    rewrite_categories(tmp_path / 'd', lambda categories: categories[::-1])
    cfg = read(in_root, 'det/cascade_convnext_atto_demo', tmp_path / 'd')
    check_config(cfg, ('train', 'val'))
    # Of panoptic data mmdet numbers labels in the order of the file.
    cfg.train_dataloader.dataset.type = 'CocoPanopticDataset'
    with pytest.raises(ValueError, match=r'order cross, star.*labels would be swapped'):
        check_config(cfg, ('train',))


@pytest.mark.parametrize(
    ('name', 'split', 'order'),
    [
        ('det/cascade_convnext_atto_demo', 'val', slice(None, None, -1)),
        ('det/cascade_convnext_atto_demo', 'test', [1, 0, 2, 3, 4, 5]),
        ('seg/upernet_convnext_atto_demo', 'val', [6, 0, 1, 2, 3, 4, 5]),
    ],
)
def test_another_order_in_validation_than_in_training_is_refused(
    in_root, demo, name, split, order
):
    cfg = read(in_root, name, demo)
    trained = cfg.train_dataloader.dataset.metainfo.classes
    other = tuple(np.array(trained)[order].tolist())
    cfg[f'{split}_dataloader'] = copy.deepcopy(cfg[f'{split}_dataloader'])
    cfg[f'{split}_dataloader'].dataset.metainfo = dict(classes=other)
    check_config(cfg, ('train',))
    with pytest.raises(ValueError, match=f'its {split} data has them in another') as e:
        check_config(cfg, (split,))
    for classes in (trained, other):
        assert ', '.join(classes) in str(e.value)


def test_data_sets_that_are_joined_for_training_are_compared(in_root, demo):
    cfg = read(in_root, 'det/cascade_convnext_atto_demo', demo)
    one = cfg.train_dataloader.dataset
    other = copy.deepcopy(one)
    other.metainfo = dict(classes=one.metainfo.classes[::-1])
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[one, other])
    with pytest.raises(ValueError, match="'disk' is number 0 in one and number 5"):
        check_config(cfg, ('train',))


def test_other_names_in_validation_are_a_warning(in_root, demo):
    cfg = read(in_root, 'seg/upernet_convnext_atto_demo', demo)
    cfg.val_dataloader = copy.deepcopy(cfg.val_dataloader)
    classes = cfg.train_dataloader.dataset.metainfo.classes
    other = ('ground', *classes[1:])
    cfg.val_dataloader.dataset.metainfo = dict(classes=other)
    (warning,) = check_order(cfg, ('val',))
    assert warning.endswith("under two names, 'background' and 'ground'")
    assert check_order(cfg, ('test',)) == []


def test_the_metric_must_have_the_images_of_the_data(in_root, demo, tmp_path):
    cfg = read(in_root, 'det/cascade_convnext_atto_demo', demo)
    files = demo / 'annotations' / 'val.json', demo / 'annotations' / 'train.json'
    cfg.val_evaluator.ann_file = str(files[1])
    check_config(cfg, ('train',))
    with pytest.raises(ValueError, match=f'set val_evaluator.ann_file={files[0]}'):
        check_config(cfg, ('val',))
    cfg.val_evaluator = [dict(type='VOCMetric'), cfg.val_evaluator]
    with pytest.raises(
        ValueError, match=r'val_evaluator\.1\.ann_file=.*holds other images'
    ):
        check_config(cfg, ('val',))
    copied = tmp_path / 'copy.json'
    copied.write_bytes(files[0].read_bytes())
    cfg.val_evaluator = dict(type='CocoMetric', ann_file=str(copied))
    check_config(cfg, ('val',))


def test_a_file_that_is_no_coco_json_is_told(in_root, tmp_path):
    make_demo_data(tmp_path / 'd', train=1, val=1, size=128)
    (tmp_path / 'd' / 'annotations' / 'train.json').write_text('{"images": [')
    cfg = read(in_root, 'det/cascade_convnext_atto_demo', tmp_path / 'd')
    with pytest.raises(ValueError, match=r'train\.json is not a COCO json'):
        check_config(cfg, ('train',))


def test_the_auxiliary_head_is_checked_too(in_root):
    cfg = Config.fromfile('configs/seg/upernet_convnext_t_ade20k.py')
    cfg.model.backbone.arch = 'base'
    cfg.model.decode_head.in_channels = [128, 256, 512, 1024]
    with pytest.raises(ValueError, match=r'model\.auxiliary_head\.in_channels=512'):
        check_config(cfg, ())


def test_wrong_out_indices_have_the_backbones_message(in_root):
    cfg = Config.fromfile('configs/det/cascade_convnext_t_coco.py')
    cfg.model.backbone.out_indices = (0, 4)
    with pytest.raises(ValueError, match='ascending stage numbers from 0 to 3'):
        check_config(cfg, ())


def test_classes_that_are_a_string_are_refused_unless_a_file(in_root, demo, tmp_path):
    cfg = read(in_root, 'det/mask_convnext_atto_nuclei', demo)
    cfg.train_dataloader.dataset.update(
        metainfo=dict(classes='nucleus'),
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/training/'),
    )
    with pytest.raises(ValueError, match=r"write a tuple, \('nucleus',\)"):
        check_config(cfg, ('train',))
    names = tmp_path / 'names.txt'
    names.write_text('disk\n')
    cfg.train_dataloader.dataset.metainfo = dict(classes=str(names))
    check_config(cfg, ('train',))


def test_a_suffix_that_no_image_has_is_told(in_root, demo):
    cfg = read(in_root, 'seg/upernet_convnext_atto_demo', demo)
    cfg.train_dataloader.dataset.pop('img_suffix')
    with pytest.raises(ValueError, match=r'holds no \*\.jpg: set img_suffix'):
        check_config(cfg, ('train',))


def test_heads_with_a_count_of_their_own_are_left_alone():
    model = dict(
        rpn_head=dict(num_classes=1),
        bbox_head=dict(num_classes=6),
        semantic_head=dict(num_classes=183),
    )
    assert [name for name, _ in iter_heads(model)] == ['bbox_head']


def test_wrapped_data_sets_are_found():
    leaf = dict(type='CocoDataset', ann_file='a.json')
    nested = dict(
        dataset=dict(
            type='RepeatDataset',
            dataset=dict(type='ConcatDataset', datasets=[leaf, dict(leaf)]),
        )
    )
    assert list(iter_datasets(nested)) == [leaf, leaf]
    assert list(iter_datasets(None)) == []


@pytest.mark.parametrize(
    ('gpu', 'served', 'fails'),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_missing_compiled_ops_are_told(in_root, monkeypatch, gpu, served, fails):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(mmcv_ext, 'is_served', lambda: served)
    check_ops(Config.fromfile('configs/det/cascade_convnext_t_coco.py'))
    for name in ('det/dino_convnext_t_coco', 'seg/mask2former_convnext_t_ade20k'):
        cfg = Config.fromfile(f'configs/{name}.py')
        if fails:
            with pytest.raises(ValueError, match='run make mmcv-ops'):
                check_ops(cfg)
        else:
            check_ops(cfg)
