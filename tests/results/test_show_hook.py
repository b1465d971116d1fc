"""Pictures of an evaluation: one for each image, whatever its name."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmengine.structures import InstanceData
from mmseg.datasets import BaseSegDataset
from support.named_alike import CAMERAS, SIZE, write_coco

from convnext_backbone.results.names import common_folder, image_folder, name_below
from convnext_backbone.results.predictions import DumpPredictions
from convnext_backbone.results.show_hook import ShowResultsHook


def coco(root: Path, images: str = 'images', **kwargs) -> CocoDataset:
    return CocoDataset(
        ann_file='train.json',
        data_root=str(root),
        data_prefix=dict(img=images),
        metainfo=dict(classes=tuple(f'of_{name}' for name in CAMERAS)),
        test_mode=True,
        pipeline=[],
        **kwargs,
    )


def camera(root: Path, name: str) -> CocoDataset:
    """A data set of one camera, whose json names images without their folder."""
    content = json.loads((root / 'train.json').read_text())
    for image in content['images']:
        image['file_name'] = Path(image['file_name']).name
    content['images'] = [
        i for i in content['images'] if (i['id'] > 3) == (name > 'cam1')
    ]
    (root / f'{name}.json').write_text(json.dumps(content))
    dataset = coco(root, f'images/{name}', lazy_init=True)
    dataset.ann_file = str(root / f'{name}.json')
    dataset.full_init()
    return dataset


def run(dataset, out: Path) -> tuple[set[str], list[str]]:
    """Return the pictures that the hook writes, and the images of predictions.json."""
    loader = SimpleNamespace(dataset=dataset, sampler=range(len(dataset)))
    runner = SimpleNamespace(test_dataloader=loader)
    hook = ShowResultsHook(str(out))
    hook.before_test(runner)
    dump = DumpPredictions(str(out / 'predictions.json'))
    dump.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        meta = dict(img_path=dataset.get_data_info(i)['img_path'])
        sample = DetDataSample(metainfo=meta | dict(ori_shape=SIZE[::-1]))
        sample.pred_instances = InstanceData(
            bboxes=torch.tensor([[10.0, 10, 40, 40]]),
            scores=torch.tensor([0.9]),
            labels=torch.tensor([0]),
        )
        hook.after_test_iter(runner, i, None, [sample])
        dump.process({}, [sample.to_dict()])
    hook.after_test(runner)
    dump.compute_metrics(dump.results)
    written = {p.relative_to(out / 'images') for p in (out / 'images').rglob('*.png')}
    entries = json.loads((out / 'predictions.json').read_text())
    return set(map(str, written)), [entry['image'] for entry in entries]


PICTURES = {f'{name}/{i}.png.png' for name in CAMERAS for i in range(3)}


@pytest.mark.parametrize('kind', ['one', 'joined', 'repeated', 'relative'])
def test_each_image_has_a_picture_and_a_prediction(tmp_path, monkeypatch, kind):
    root = write_coco(tmp_path / 'data')
    if kind == 'relative':
        monkeypatch.chdir(tmp_path)
        root = Path('data')
    if kind == 'joined':
        dataset = ConcatDataset([camera(root, name) for name in CAMERAS])
    elif kind == 'repeated':
        dataset = RepeatDataset(coco(root), 2)
    else:
        dataset = coco(root)
    pictures, predicted = run(dataset, tmp_path / 'show')
    assert pictures == PICTURES
    assert {os.path.abspath(path) for path in predicted} == {
        str(tmp_path / 'data' / 'images' / name.removesuffix('.png'))
        for name in PICTURES
    }


def test_an_image_outside_of_the_folder_has_a_picture(tmp_path):
    root = write_coco(tmp_path / 'data')
    (root / 'images' / 'cam2').rename(tmp_path / 'cam2')
    content = json.loads((root / 'train.json').read_text())
    for image in content['images']:
        image['file_name'] = image['file_name'].replace('cam2/', '../../cam2/')
    (root / 'train.json').write_text(json.dumps(content))
    pictures, _ = run(coco(root), tmp_path / 'show')
    outside = {f'{str(tmp_path)[1:]}/cam2/{i}.png.png' for i in range(3)}
    assert pictures == {f'cam1/{i}.png.png' for i in range(3)} | outside


def test_folders_of_data_sets(tmp_path):
    masks = BaseSegDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images/val', seg_map_path='masks/val'),
        metainfo=dict(classes=('a', 'b')),
        lazy_init=True,
        pipeline=[],
    )
    assert image_folder(masks) == f'{tmp_path}/images/val'
    assert (
        name_below(f'{tmp_path}/images/val/a/1.jpg', image_folder(masks)) == 'a/1.jpg'
    )
    assert image_folder(SimpleNamespace()) == os.getcwd()


def test_the_common_folder_of_files(tmp_path):
    one, two = f'{tmp_path}/a/b/1.jpg', f'{tmp_path}/a/bc/1.jpg'
    assert common_folder([one]) == f'{tmp_path}/a/b'
    assert common_folder([one, two]) == f'{tmp_path}/a'
