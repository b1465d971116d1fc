"""Real data in every format: the same training set, and a training."""

import json
import shutil

import cv2
import numpy as np
import pytest
import supervision as sv
import torch
from mmengine.config import Config
from PIL import Image
from support.commands import tool

from convnext_backbone.datasets import cache, find_source
from convnext_backbone.datasets.formats.mask_options import MaskOptions

FORMATS = ('yolo', 'labelme', 'voc')
BASE = 'det/mask_convnext_atto_nuclei'


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))


def export(nuclei, root):
    """Write the nuclei as YOLO polygons, LabelMe shapes and VOC boxes."""
    for split in ('train', 'val'):
        images, annotations = str(nuclei / split), str(nuclei / f'{split}.json')
        data = sv.DetectionDataset.from_coco(images, annotations, force_masks=True)
        yolo, labelme, voc = (str(root / name / split) for name in FORMATS)
        config = str(root / 'yolo' / 'data.yaml')
        data.as_yolo(f'{yolo}/images', f'{yolo}/labels', config)
        data.as_labelme(labelme, labelme)
        for detections in data.annotations.values():
            detections.mask = None
        data.as_pascal_voc(voc, voc)


def few_of(nuclei, root):
    """Some of the nuclei's images."""
    for split, count in (('train', 8), ('val', 4)):
        content = json.loads((nuclei / f'{split}.json').read_text())
        content['images'] = content['images'][:count]
        ids = {image['id'] for image in content['images']}
        content['annotations'] = [
            a for a in content['annotations'] if a['image_id'] in ids
        ]
        (root / split).mkdir(parents=True)
        for image in content['images']:
            shutil.copy(nuclei / split / image['file_name'], root / split)
        (root / f'{split}.json').write_text(json.dumps(content))
    return root


def training_set(path):
    """(split, stem) -> boxes, of what a training reads."""
    data = cache.prepare(find_source(path, task='det'), None, seed=0)
    found = {}
    for split in ('train', 'val'):
        content = json.loads((data.folder / f'{split}.json').read_text())
        names = {i['id']: i['file_name'] for i in content['images']}
        for name in names.values():
            stem = name.rsplit('/', 1)[-1].rsplit('.', 1)[0]
            found[split, stem] = []
        for annotation in content['annotations']:
            name = names[annotation['image_id']]
            stem = name.rsplit('/', 1)[-1].rsplit('.', 1)[0]
            x, y, w, h = annotation['bbox']
            found[split, stem].append((x, y, x + w, y + h))
        assert [c['name'] for c in content['categories']] == ['nucleus']
    return found


@pytest.mark.slow
def test_nuclei_are_the_same_in_every_format(data_dir, tmp_path):
    export(data_dir / 'nuclei', tmp_path)
    wanted = training_set(data_dir / 'nuclei')
    assert len(wanted) == 334
    for name in FORMATS:
        found = training_set(tmp_path / name)
        assert found.keys() == wanted.keys()
        more = missing = 0
        for key, boxes in wanted.items():
            distance = np.abs(np.array(found[key])[:, None] - np.array(boxes)).max(-1)
            # A pixel, and what YOLO's five digits lose.
            missing += (distance.min(axis=0) > 1.01).sum()
            more += len(found[key]) - len(boxes)
        # One nucleus is of two parts, which YOLO knows as two objects. The polygons of
        # two others are less than a pixel high: they are left out, and that is told.
        assert (more, missing) == ((-1, 3) if name == 'yolo' else (0, 0))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['coco', *FORMATS])
def test_every_format_trains(data_dir, tmp_path, name):
    few = few_of(data_dir / 'nuclei', tmp_path / 'coco')
    if name != 'coco':
        export(few, tmp_path)
    work_dir = tmp_path / 'work'
    command = [tmp_path / name, '--base', BASE, '--from-scratch', '--epochs', 1]
    assert tool('finetune', *command, '--work-dir', work_dir) == 0
    cfg = Config.fromfile(work_dir / 'config.py')
    boxes_only = name == 'voc'
    assert (cfg.model.roi_head.mask_head is None) == boxes_only
    state = torch.load(work_dir / 'epoch_1.pth', weights_only=False)['state_dict']
    assert any('mask_head' in key for key in state) != boxes_only
    assert (work_dir / 'report.html').is_file()


@pytest.mark.slow
def test_aerial_is_the_same_in_every_form(data_dir, tmp_path):
    aerial = data_dir / 'aerial'
    names = ['building', 'land', 'road', 'vegetation', 'water']
    colours = np.array(
        [
            (0, 0, 0),
            (60, 16, 152),
            (132, 41, 246),
            (110, 193, 228),
            (254, 221, 58),
            (226, 169, 41),
        ],
        np.uint8,
    )
    forms = {form: tmp_path / form for form in ('ade20k', 'index', 'colours')}
    for form, root in forms.items():
        masks = 'annotations' if form == 'ade20k' else 'masks'
        for split in ('training', 'validation'):
            to = split if form == 'ade20k' else {'t': 'train', 'v': 'val'}[split[0]]
            shutil.copytree(aerial / 'images' / split, root / 'images' / to)
            (root / masks / to).mkdir(parents=True)
            for file in (aerial / 'annotations' / split).iterdir():
                labels = np.array(Image.open(file))
                image = colours[labels] if form == 'colours' else labels
                Image.fromarray(image).save(root / masks / to / file.name)
        lines = names
        if form == 'colours':
            lines = [
                f'{name} {r} {g} {b}'
                for name, (r, g, b) in zip(['unlabeled', *names], colours, strict=True)
            ]
        (root / 'classes.txt').write_text('\n'.join(lines) + '\n')
    found = {}
    for root in forms.values():
        # Six numbers and five names: which number has none must be stated.
        options = {'ignore_label': 0} if root.name == 'index' else {}
        source = find_source(root, task='seg', masks=MaskOptions(**options))
        data = cache.prepare(source, None, seed=0)
        assert data.numbers['classes'] == names
        for split in ('train', 'val'):
            for line in (data.folder / f'{split}.txt').read_text().splitlines():
                mask = cv2.imread(str(data.folder / 'masks' / f'{line}.png'), -1)
                found.setdefault((split, line.split('/')[-1]), []).append(mask)
    assert len(found) == 72
    for (split, name), masks in found.items():
        folder = {'train': 'training', 'val': 'validation'}[split]
        file = aerial / 'annotations' / folder / f'{name.split(".")[0]}.png'
        original = np.array(Image.open(file))
        assert len(masks) == 3
        for mask in masks:
            assert (mask == original).all()
