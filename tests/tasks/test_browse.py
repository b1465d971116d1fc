"""The sheet of images beside their augmented samples shows what the model gets."""

import functools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData
from support.commands import tool

from convnext_backbone.config.loading import read_config, set_data_root
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.results.drawing import GAP
from convnext_backbone.tasks import browse

tool = functools.partial(tool, 'browse_dataset')
DET = 'det/cascade_convnext_atto_demo'
SEG = 'seg/upernet_convnext_atto_demo'
HEADER = 28
LOAD = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
]
PACK = dict(type='PackDetInputs')
FLIP = dict(type='RandomFlip', prob=1.0)
RED = (0, 0, 255)  # BGR


def write_boxes(root: Path, boxes: list[tuple[int, int, int, int]]) -> None:
    """One grey image of 200 x 100 for each box x, y, w, h, which is all it has."""
    images, annotations = [], []
    for i, (x, y, w, h) in enumerate(boxes):
        cv2.imwrite(str(root / f'{i}.png'), np.full((100, 200, 3), 128, np.uint8))
        images.append(dict(id=i, file_name=f'{i}.png', width=200, height=100))
        box = dict(bbox=[x, y, w, h], area=w * h, iscrowd=0)
        annotations.append(dict(box, id=i + 1, image_id=i, category_id=1))
    content = dict(
        images=images, annotations=annotations, categories=[dict(id=1, name='thing')]
    )
    (root / 'boxes.json').write_text(json.dumps(content))


def boxes_dataset(root: Path, *steps: dict) -> dict:
    return dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='boxes.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('thing',), palette=[(255, 0, 0)]),
        pipeline=list(steps),
    )


def config(dataset: dict, scope: str = 'mmdet') -> Config:
    return Config(dict(default_scope=scope, train_dataloader=dict(dataset=dataset)))


def rows_of(dataset: dict, count: int = 16, scope: str = 'mmdet') -> list:
    built = browse.build_dataset(config(dataset, scope), 'train')
    chosen = browse.choose(built, count)
    return [browse.draw_row(built, index) for index in chosen]


def bottom_edge(picture: np.ndarray) -> tuple[int, int, int]:
    """Left, right and height of the lowest line of a red box."""
    red = (picture == RED).all(axis=2)
    y = np.flatnonzero(red.any(axis=1)).max()
    x = np.flatnonzero(red[y])
    return x.min(), x.max(), y


@pytest.mark.parametrize('name', [DET, SEG])
@pytest.mark.parametrize('split', ['train', 'val'])
def test_the_sheet_has_a_row_of_four_for_each_image(
    demo, tmp_path, monkeypatch, capsys, name, split
):
    monkeypatch.chdir(tmp_path)
    argv = [name, '--data-root', demo, '--split', split, '--count', 3]
    assert tool(*argv) == 0
    out = f'browse_{Path(name).name}_{split}.png'
    said = ''.join(capsys.readouterr())
    assert f'3 images of the {split} data drawn, see {out}' in said
    assert 'without any object' not in said
    sheet = cv2.imread(out)
    side = browse.FIT[1]  # demo images are square
    height = side + browse.CAPTION + GAP
    assert sheet.shape == (HEADER + 3 * height, 4 * (side + GAP) + GAP, 3)
    for row in range(3):
        for column in range(4):
            y, x = HEADER + row * height, GAP + column * (side + GAP)
            assert sheet[y : y + side, x : x + side].std() > 10
            assert sheet[y + side : y + height, x : x + side].min() < 150  # caption


@pytest.mark.parametrize('name', [DET, SEG])
def test_a_seed_decides_the_sheet(demo, tmp_path, name):
    written = []
    for seed in (1, 1, 2):
        out = tmp_path / 'new' / 'sheet.png'
        assert tool(name, '--data-root', demo, '--out', out, '--seed', seed) == 0
        written.append(out.read_bytes())
    assert written[0] == written[1] != written[2]


def test_boxes_are_those_of_the_pipeline(tmp_path):
    write_boxes(tmp_path, [(20, 30, 40, 50)])
    ((original, *samples),) = rows_of(boxes_dataset(tmp_path, *LOAD, FLIP, PACK))
    assert original.caption == '0.png: 200x100, objects: 1'
    zoom = browse.FIT[0] / 200
    assert bottom_edge(original.picture) == pytest.approx(
        (20 * zoom, 60 * zoom, 80 * zoom), abs=1
    )
    assert len(samples) == 3
    for sample in samples:
        assert sample.caption == '200x100, objects: 1'
        assert bottom_edge(sample.picture) == pytest.approx(
            (140 * zoom, 180 * zoom, 80 * zoom), abs=1
        )


def test_boxes_of_original_pixels_follow_the_resized_image(tmp_path):
    write_boxes(tmp_path, [(20, 30, 40, 50)])
    image, annotations = LOAD
    resize = dict(type='Resize', scale=(400, 200), keep_ratio=True)
    pad = dict(type='Pad', size=(400, 400))
    steps = [image, resize, pad, annotations, PACK]
    ((_, sample, *_),) = rows_of(boxes_dataset(tmp_path, *steps))
    assert sample.caption == '400x400, objects: 1'
    zoom = browse.FIT[1] / 400 * 2
    assert bottom_edge(sample.picture) == pytest.approx(
        (20 * zoom, 60 * zoom, 80 * zoom), abs=1
    )


def test_labels_of_original_pixels_leave_the_padding_alone():
    data = BaseDataElement(metainfo=dict(ori_shape=(50, 100), scale_factor=(2.0, 2.0)))
    data.gt_sem_seg = PixelData(data=torch.zeros(1, 50, 100, dtype=torch.long))
    sample = dict(inputs=torch.full((3, 200, 200), 128), data_samples=data)
    meta = dict(classes=('thing',), palette=[(255, 0, 0)])
    picture = browse.draw_cell(sample, meta, in_original=True).picture
    tinted = (picture != 128).any(axis=2)
    half = browse.FIT[1] // 2
    assert tinted[:half].all()
    assert not tinted[half:].any()


def test_masks_are_those_of_the_pipeline(demo, monkeypatch):
    cfg = read_config(DET)
    set_data_root(cfg, str(demo))
    cfg.train_pipeline[3] = cfg.train_dataloader.dataset.pipeline[3] = FLIP
    dataset = browse.build_dataset(cfg, 'train')
    drawn = []

    def note(image, boxes, labels, classes, palette, *, masks=None):
        drawn.append((boxes, labels, masks))
        return image

    monkeypatch.setattr(browse, 'draw_instances', note)
    browse.draw_row(dataset, 0)
    masks = [masks for _, _, masks in drawn if masks is not None]
    assert len(masks) == 4
    assert masks[0].any()
    assert np.array_equal(masks[1], masks[0][:, :, ::-1])
    assert all(np.array_equal(labels, drawn[0][1]) for _, labels, _ in drawn)


def test_ignored_pixels_are_left_untinted(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((100, 200, 3), 128, np.uint8))
    labels = np.zeros((100, 200), np.uint8)
    labels[:, 150:] = 1
    (tmp_path / 'labels').mkdir()
    cv2.imwrite(str(tmp_path / 'labels' / 'a.png'), labels)
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='', seg_map_path='labels'),
        img_suffix='a.png',
        seg_map_suffix='a.png',
        reduce_zero_label=True,
        metainfo=dict(classes=('thing',), palette=[(255, 0, 0)]),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            FLIP,
            dict(type='PackSegInputs'),
        ],
    )
    original, sample = rows_of(dataset, count=1, scope='mmseg')[0][:2]
    assert sample.caption == '200x100, classes: 1'
    third = browse.FIT[0] // 3
    assert (original.picture[60:, :third] == 128).all()
    assert (original.picture[60:, -third // 2 :] != 128).any(axis=2).all()
    assert (sample.picture[60:, -third:] == 128).all()
    assert (sample.picture[60:, : third // 2] != 128).any(axis=2).all()


def test_samples_without_objects_are_counted(tmp_path, capsys):
    write_boxes(tmp_path, [(20, 30, 40, 50), (20, 30, 150, 60)])
    drop = dict(
        type='FilterAnnotations', min_gt_bbox_wh=(100, 1), keep_empty=False, by_box=True
    )
    cfg = config(boxes_dataset(tmp_path, *LOAD, drop, PACK))
    browse.browse(cfg, 'train', tmp_path / 'a.png')
    said = ''.join(capsys.readouterr())
    assert '3 of the 6 augmented samples drawn are left without any object' in said
    assert said.count('WARNING') == 1


def test_another_image_in_place_of_a_rejected_one_is_named(tmp_path):
    write_boxes(tmp_path, [(20, 30, 40, 50), (20, 30, 150, 60)])
    reject = dict(type='FilterAnnotations', min_gt_bbox_wh=(100, 1))
    rows = rows_of(boxes_dataset(tmp_path, *LOAD, reject, PACK))
    assert [row[0].caption[:5] for row in rows] == ['0.png', '1.png']
    assert rows[0][1].caption == '1.png: 200x100, objects: 1'
    assert rows[1][1].caption == '200x100, objects: 1'


def test_repeated_and_joined_data_sets_show_each_image_once(tmp_path):
    parts = []
    for name, count in (('a', 2), ('b', 3)):
        (tmp_path / name).mkdir()
        write_boxes(tmp_path / name, [(10 * i, 30, 40, 50) for i in range(count)])
        part = boxes_dataset(tmp_path / name, *LOAD, FLIP, PACK)
        parts.append(dict(type='RepeatDataset', times=2, dataset=part))
    rows = rows_of(dict(type='ConcatDataset', datasets=parts))
    names = [row[0].caption.partition(':')[0] for row in rows]
    assert names == ['a/0.png', 'a/1.png', 'b/0.png', 'b/1.png', 'b/2.png']
    zoom = browse.FIT[0] / 200
    assert bottom_edge(rows[-1][0].picture)[0] == pytest.approx(20 * zoom, abs=1)
    assert bottom_edge(rows[-1][1].picture)[0] == pytest.approx(140 * zoom, abs=1)
    rows = rows_of(dict(type='ConcatDataset', datasets=parts), count=2)
    assert [row[0].caption[:7] for row in rows] == ['a/0.png', 'b/2.png']


def test_images_are_mixed_as_in_training(tmp_path):
    write_boxes(tmp_path, [(20, 30, 40, 50)] * 5)
    mixed = dict(
        type='MultiImageMixDataset',
        dataset=boxes_dataset(tmp_path, *LOAD),
        pipeline=[
            dict(type='Mosaic', img_scale=(120, 120), pad_val=114.0),
            dict(type='MixUp', img_scale=(240, 240)),
            PACK,
        ],
    )
    rows = rows_of(mixed, count=2)
    assert [row[0].caption for row in rows] == [
        '0.png: 200x100, objects: 1',
        '4.png: 200x100, objects: 1',
    ]
    for row in rows:
        for sample in row[1:]:
            assert sample.caption.startswith('240x240, objects: ')
            assert sample.objects > 1


def test_pictures_keep_their_proportions():
    data = BaseDataElement()  # nothing annotated
    rows = []
    for width, height in ((1000, 100), (100, 1000), (1200, 900), (8, 6)):
        sample = dict(inputs=torch.zeros(3, height, width), data_samples=data)
        cell = browse.draw_cell(sample, dict(classes=('a',)), name='long' * 20)
        shape = cell.picture.shape
        assert shape[1] <= browse.FIT[0]
        assert shape[0] <= browse.FIT[1]
        assert max(shape[1] / browse.FIT[0], shape[0] / browse.FIT[1]) == 1
        assert shape[1] / shape[0] == pytest.approx(width / height, rel=0.01)
        rows.append([cell] * 4)
    sheet = browse.lay_out(rows)
    heights = [42, 320, 315, 315]
    below = browse.CAPTION + GAP
    assert sheet.shape[0] == HEADER + sum(height + below for height in heights)
    assert sheet.shape[1] == 4 * (browse.FIT[0] + GAP) + GAP


def test_grey_and_float_inputs_are_drawn():
    grey = torch.full((1, 2, 2), 300.0)
    grey[0, 0, 0] = -7.5
    image = browse.to_image(grey)
    assert image.shape == (2, 2, 3)
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[1, 1].tolist() == [255, 255, 255]
    four = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1)
    assert browse.to_image(four).tolist() == [[[0, 1, 2]]]


def test_an_unknown_split_is_refused(demo, tmp_path, capsys):
    with pytest.raises(SystemExit, match='2'):
        tool(DET, '--split', 'tain')
    assert "invalid choice: 'tain'" in capsys.readouterr().err
    write_boxes(tmp_path, [(20, 30, 40, 50)])
    cfg = config(boxes_dataset(tmp_path, *LOAD, PACK))
    with pytest.raises(ValueError, match=r'no val_dataloader: .* as one of train$'):
        browse.browse(cfg, 'val', tmp_path / 'a.png')


@pytest.mark.parametrize('times', [0, 2])
def test_data_without_images_is_one_message(tmp_path, times):
    write_boxes(tmp_path, [(20, 30, 40, 50)])
    dataset = boxes_dataset(tmp_path, *LOAD, PACK)
    dataset['filter_cfg'] = dict(filter_empty_gt=True, min_size=500)
    if times:
        dataset = dict(type='RepeatDataset', times=times, dataset=dataset)
    message = r'train data: no image is left of boxes\.json'
    with pytest.raises(ValueError, match=message):
        browse.browse(config(dataset), 'train', tmp_path / 'a.png')


def test_what_a_user_gets_wrong_is_one_message(demo, tmp_path, capsys):
    def error(*argv: object) -> str:
        assert tool(DET, '--data-root', demo, *argv) == 1
        err = capsys.readouterr().err
        assert err.count('error: ') == 1
        assert 'Traceback' not in err
        return err

    assert 'a.jpg: expected a file that ends in .png' in error('--out', 'a.jpg')
    assert '--count 0: expected at least 1' in error('--count', 0)
    assert '/no/where does not exist' in error('--data-root', '/no/where')
    options = ['--cfg-options', 'train_dataloader.dataset.pipeline.3.probability=1.0']
    assert "keyword argument 'probability'" in error(
        '--out', tmp_path / 'a.png', *options
    )
    (tmp_path / 'folder.png').mkdir()
    told = error('--out', tmp_path / 'folder.png')
    assert told.endswith(f'error: writing {tmp_path}/folder.png: Is a directory\n')


def test_annotations_that_cannot_be_read_are_one_message(tmp_path):
    write_boxes(tmp_path, [(20, 30, 40, 50)])
    cfg = config(boxes_dataset(tmp_path, *LOAD, PACK))
    file = tmp_path / 'boxes.json'
    file.write_text('{"images": [')
    message = r'the annotations boxes\.json of the train data .* JSONDecodeError: '
    with pytest.raises(UserError, match=message):
        browse.browse(cfg, 'train', tmp_path / 'a.png')
    file.unlink()
    file.mkdir()
    message = rf'reading the train data boxes\.json: Is a directory \({file}\)$'
    with pytest.raises(UserError, match=message):
        browse.browse(cfg, 'train', tmp_path / 'a.png')


@pytest.mark.parametrize(
    ('steps', 'message'),
    [
        (LOAD, 'LoadAnnotations: end it with PackDetInputs or PackSegInputs'),
        (
            [*LOAD, dict(type='FilterAnnotations', min_gt_bbox_wh=(999, 1)), PACK],
            r'the pipeline fails on .*0\.png: Exception: Cannot find valid image',
        ),
    ],
)
def test_a_useless_pipeline_is_one_message(tmp_path, steps, message):
    write_boxes(tmp_path, [(20, 30, 40, 50)])
    cfg = config(dict(boxes_dataset(tmp_path, *steps), max_refetch=3))
    with pytest.raises(ValueError, match=message):
        browse.browse(cfg, 'train', tmp_path / 'a.png')


def test_a_broken_image_is_named(tmp_path):
    write_boxes(tmp_path, [(20, 30, 40, 50)])
    (tmp_path / '0.png').write_bytes(b'no image')
    cfg = config(boxes_dataset(tmp_path, *LOAD, PACK))
    with pytest.raises(ValueError, match=r'the pipeline fails on .*/0\.png'):
        browse.browse(cfg, 'train', tmp_path / 'a.png')
