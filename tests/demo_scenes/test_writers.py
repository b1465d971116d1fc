import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from convnext_backbone.demo_scenes import CLASSES, draw_scene, writers


@pytest.fixture(scope='module')
def drawn():
    return [draw_scene(np.random.default_rng([5, k]), 128) for k in range(12)]


@pytest.fixture(scope='module')
def root(drawn, tmp_path_factory):
    root = tmp_path_factory.mktemp('set')
    writers.write_split(root, 'training', 'train.json', iter(drawn))
    return root


def test_pictures_are_lossless(root, drawn):
    files = sorted((root / 'images/training').iterdir())
    assert [f.name for f in files] == [f'{k:05d}.png' for k in range(12)]
    for file, scene in zip(files, drawn, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(file)), scene.image)


def test_coco_json_agrees_with_the_scenes(root, drawn):
    coco = COCO(str(root / 'annotations/train.json'))
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    assert len(coco.imgs) == len(drawn)
    for image_id, scene in enumerate(drawn, start=1):
        info = coco.imgs[image_id]
        assert info['file_name'] == f'{image_id - 1:05d}.png'
        assert (info['height'], info['width']) == (128, 128)
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        assert len(annotations) == len(scene.labels)
        for ann, label, mask in zip(
            annotations, scene.labels, scene.masks, strict=True
        ):
            rows, columns = np.nonzero(mask)
            x, y, width, height = ann['bbox']
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
            assert ann['area'] == mask.sum()
            assert ann['category_id'] == label + 1
            assert ann['iscrowd'] == 0
            np.testing.assert_array_equal(coco.annToMask(ann), mask)


def test_ids_are_unique_and_the_json_is_plain(root):
    text = (root / 'annotations/train.json').read_text()
    content = json.loads(text)
    ids = [a['id'] for a in content['annotations']]
    assert ids == list(range(1, len(ids) + 1))
    assert text.count('\n') < len(ids) + 12 + len(CLASSES) + 10


def test_index_pngs_agree_with_the_masks_pixel_by_pixel(root, drawn):
    coco = COCO(str(root / 'annotations/train.json'))
    for image_id in coco.imgs:
        path = root / f'annotations/training/{image_id - 1:05d}.png'
        index = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert index.dtype == np.uint8
        assert index.shape == (128, 128)
        expected = np.ones((128, 128), np.uint8)
        for ann in coco.loadAnns(coco.getAnnIds(image_id)):
            expected[coco.annToMask(ann) > 0] = ann['category_id'] + 1
        np.testing.assert_array_equal(index, expected)
