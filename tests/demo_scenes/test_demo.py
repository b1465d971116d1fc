import hashlib
import json
import re

import cv2
import numpy as np
import pytest

import convnext_backbone  # noqa: F401  (serves mmcv's ops; first, always)
from convnext_backbone.demo_scenes import (
    CLASSES,
    PALETTE,
    SEG_CLASSES,
    SEG_PALETTE,
    demo,
    demo_scene,
    make_demo_data,
)
from convnext_backbone.foundation.errors import UserError

SMALL = {'train': 5, 'val': 3, 'size': 96}


def hashes(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('demo') / 'set'
    assert make_demo_data(root, **SMALL) is True
    return root


def test_layout(root):
    assert len(list((root / 'images/training').glob('*.png'))) == 5
    assert len(list((root / 'images/validation').glob('*.png'))) == 3
    assert len(list((root / 'annotations/training').glob('*.png'))) == 5
    assert len(list((root / 'annotations/validation').glob('*.png'))) == 3
    assert len(hashes(root)) == 16 + 3
    manifest = json.loads((root / 'dataset.json').read_text())
    assert manifest.items() >= {'seed': 0, 'classes': list(CLASSES), **SMALL}.items()


def test_same_seed_same_bytes(root, tmp_path):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1 if threads > 1 else 4)
        make_demo_data(tmp_path / 'again', **SMALL)
    finally:
        cv2.setNumThreads(threads)
    assert hashes(tmp_path / 'again') == hashes(root)


def test_another_seed_another_data_set(root, tmp_path):
    make_demo_data(tmp_path / 'other', **SMALL, seed=1)
    ours, other = hashes(root), hashes(tmp_path / 'other')
    assert ours.keys() == other.keys()
    assert not set(ours.values()) & set(other.values())


def test_pictures_do_not_depend_on_their_number(root, tmp_path):
    make_demo_data(tmp_path / 'fewer', train=2, val=4, size=96)
    ours, fewer = hashes(root), hashes(tmp_path / 'fewer')
    common = [name for name in fewer if name.endswith('.png') and name in ours]
    assert len(common) == 2 * (2 + 3)
    assert all(fewer[name] == ours[name] for name in common)


def test_splits_differ(root):
    ours = hashes(root)
    pictures = [ours[name] for name in ours if name.startswith('images/')]
    assert len(set(pictures)) == len(pictures)


# Labels and summed mask areas of the first training scenes, by version.
GOLDEN = {
    1: {
        'seen': [
            'triangle triangle cross box cross',
            'box triangle box star disk',
        ],
        'areas': [2011, 2895],
    }
}


def test_what_a_seed_looks_like_has_a_version():
    scenes = [demo_scene('train', k, size=96, seed=0) for k in range(2)]
    seen = [' '.join(CLASSES[label] for label in s.labels) for s in scenes]
    areas = [scene.masks.sum() for scene in scenes]
    golden = GOLDEN[demo.GENERATOR_VERSION]  # new scenes: raise the version
    assert seen == golden['seen']
    assert areas == pytest.approx(golden['areas'], rel=0.02)


def test_a_second_run_does_nothing(root):
    before = {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    assert make_demo_data(root, **SMALL) is False
    assert make_demo_data(root, **SMALL, overwrite=True) is False
    assert {p: p.stat().st_mtime_ns for p in root.rglob('*')} == before


def test_other_parameters_need_overwrite(tmp_path):
    make_demo_data(tmp_path / 'set', train=2, val=1, size=96)
    before = hashes(tmp_path / 'set')
    with pytest.raises(UserError, match=r'other parameters.*--overwrite'):
        make_demo_data(tmp_path / 'set', train=1, val=1, size=96)
    assert hashes(tmp_path / 'set') == before
    assert make_demo_data(tmp_path / 'set', train=1, val=1, size=96, overwrite=True)
    assert len(list((tmp_path / 'set/images/training').iterdir())) == 1
    assert [p.name for p in tmp_path.iterdir()] == ['set']


def test_an_incomplete_data_set_is_noticed(tmp_path):
    make_demo_data(tmp_path / 'set', train=2, val=1, size=96)
    before = hashes(tmp_path / 'set')
    (tmp_path / 'set/annotations/training/00001.png').unlink()
    with pytest.raises(UserError, match='incomplete'):
        make_demo_data(tmp_path / 'set', train=2, val=1, size=96)
    make_demo_data(tmp_path / 'set', train=2, val=1, size=96, overwrite=True)
    assert hashes(tmp_path / 'set') == before


@pytest.mark.parametrize('overwrite', [False, True])
def test_the_files_of_others_are_never_removed(tmp_path, overwrite):
    for name, content in (('thesis.txt', 'mine'), ('dataset.json', '{}')):
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=r"holds 'thesis.txt'"):
        make_demo_data(tmp_path, **SMALL, overwrite=overwrite)
    (tmp_path / 'images').mkdir()
    (tmp_path / 'thesis.txt').unlink()
    (tmp_path / 'dataset.json').unlink()
    with pytest.raises(UserError, match=r'has no dataset.json'):
        make_demo_data(tmp_path, **SMALL, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == ['images']


def test_a_file_in_the_way(tmp_path):
    (tmp_path / 'set').write_text('mine')
    with pytest.raises(UserError, match='is a file'):
        make_demo_data(tmp_path / 'set', **SMALL, overwrite=True)


def test_an_empty_folder_and_a_link_are_filled(tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'disk')
    assert make_demo_data(tmp_path / 'link', train=1, val=1, size=96)
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'disk/dataset.json').is_file()


@pytest.mark.parametrize('existing', [False, True])
def test_an_interrupted_run_leaves_nothing(tmp_path, existing):
    if existing:
        make_demo_data(tmp_path / 'set', train=1, val=1, size=96)
    before = hashes(tmp_path)

    def interrupt(done, total):
        assert total == 8
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo_data(tmp_path / 'set', **SMALL, overwrite=True, progress=interrupt)
    assert hashes(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ['set'] * existing


def test_progress_counts_every_picture(tmp_path):
    seen = []
    make_demo_data(
        tmp_path / 'set',
        train=2,
        val=1,
        size=96,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'train': 0}, 'train=0: expected at least 1'),
        ({'val': -1}, 'val=-1: expected at least 1'),
        ({'seed': -1}, 'seed=-1: expected at least 0'),
        ({'size': 32}, 'size=32: demo scenes are 96 to 1024'),
    ],
)
def test_wrong_parameters(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_demo_data(tmp_path / 'set', **{**SMALL, **wrong})
    assert not list(tmp_path.iterdir())


def test_mmdet_reads_it(root):
    from mmdet.datasets import CocoDataset
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    dataset = CocoDataset(
        data_root=str(root),
        ann_file='annotations/train.json',
        data_prefix={'img': 'images/training/'},
        metainfo={'classes': CLASSES, 'palette': list(PALETTE)},
        filter_cfg={'filter_empty_gt': True, 'min_size': 32},
        pipeline=[
            {'type': 'LoadImageFromFile'},
            {'type': 'mmdet.LoadAnnotations', 'with_bbox': True, 'with_mask': True},
        ],
    )
    assert len(dataset) == 5
    for number in range(5):
        scene = demo_scene('train', number, size=96, seed=0)
        sample = dataset[number]
        np.testing.assert_array_equal(sample['img'], scene.image)
        np.testing.assert_array_equal(sample['gt_bboxes_labels'], scene.labels)
        np.testing.assert_array_equal(sample['gt_masks'].masks, scene.masks)


def test_mmseg_reads_it(root):
    from mmseg.datasets import BaseSegDataset
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    dataset = BaseSegDataset(
        data_root=str(root),
        data_prefix={
            'img_path': 'images/validation',
            'seg_map_path': 'annotations/validation',
        },
        img_suffix='.png',
        reduce_zero_label=True,
        metainfo={'classes': SEG_CLASSES, 'palette': list(SEG_PALETTE)},
        pipeline=[{'type': 'LoadImageFromFile'}, {'type': 'mmseg.LoadAnnotations'}],
    )
    assert len(dataset) == 3
    for number in range(3):
        scene = demo_scene('val', number, size=96, seed=0)
        sample = dataset[number]
        np.testing.assert_array_equal(sample['img'], scene.image)
        names = np.array(SEG_CLASSES)[sample['gt_seg_map']]
        for label, mask in zip(scene.labels, scene.masks, strict=True):
            assert (names[mask] == CLASSES[label]).all()
        assert (names[~scene.masks.any(axis=0)] == 'background').all()
