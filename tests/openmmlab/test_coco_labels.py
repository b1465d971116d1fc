"""Labels of COCO data sets follow the names of the classes, not the order of a file."""

import json

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS, init_default_scope
from support.coco_scenes import make_scenes

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab.coco_labels import category_ids, labels_by_name
from convnext_backbone.openmmlab.runner import Runner

IDS = {'disc': 70, 'box': 3, 'ring': 12}


def write(path, order) -> str:
    content = make_scenes(IDS)
    by_name = {entry['name']: entry for entry in content['categories']}
    content['categories'] = [by_name[name] for name in order]
    path.write_text(json.dumps(content))
    return str(path)


def config(ann_file: str, classes: tuple[str, ...]) -> dict:
    return dict(
        type='CocoDataset',
        ann_file=ann_file,
        metainfo=dict(classes=classes),
        data_prefix=dict(img=''),
        pipeline=[],
        serialize_data=False,
    )


def names(dataset) -> list[list[str]]:
    classes = dataset.metainfo['classes']
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return [[classes[o['bbox_label']] for o in i['instances']] for i in infos]


def expected() -> list[list[str]]:
    content, by_id = make_scenes(IDS), {i: name for name, i in IDS.items()}
    return [
        [
            by_id[a['category_id']]
            for a in content['annotations']
            if a['image_id'] == image['id']
        ]
        for image in content['images']
    ]


@pytest.fixture
def said(monkeypatch) -> list[str]:
    lines: list[str] = []
    logger = MMLogger.get_current_instance()
    monkeypatch.setattr(logger, 'info', lines.append)
    return lines


@pytest.mark.parametrize(
    'order', [('disc', 'box', 'ring'), ('ring', 'box', 'disc'), ('box', 'ring', 'disc')]
)
@pytest.mark.parametrize('classes', [('disc', 'box', 'ring'), ('ring', 'disc')])
def test_labels_are_numbered_by_name(tmp_path, said, order, classes):
    init_default_scope('mmdet')
    given = config(write(tmp_path / 'a.json', order), classes)
    with labels_by_name(given):
        dataset = DATASETS.build(given)
    wanted = [[n for n in image if n in classes] for image in expected()]
    assert names(dataset) == wanted
    in_file = tuple(name for name in order if name in classes)
    told = [line for line in said if 'labels are numbered by name' in line]
    assert bool(told) == (in_file != classes)
    if told:
        assert f'order {", ".join(in_file)};' in told[0]
        assert told[0].endswith(', '.join(classes))


def test_data_loaders_of_the_runner_are_built_so(tmp_path):
    init_default_scope('mmdet')
    order = 'ring', 'box', 'disc'
    inner = config(write(tmp_path / 'a.json', order), ('box', 'disc', 'ring'))
    loader = Runner.build_dataloader(
        dict(
            batch_size=1,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='RepeatDataset', times=1, dataset=inner),
        )
    )
    assert names(loader.dataset.dataset) == expected()


def test_mmdet_itself_is_left_as_it_is(tmp_path):
    from mmdet.datasets import CocoDataset

    before = CocoDataset.COCOAPI
    with pytest.raises(UserError):  # noqa: PT012, SIM117
        with labels_by_name('CocoDataset'):
            assert CocoDataset.COCOAPI is not before
            raise UserError('x')
    assert CocoDataset.COCOAPI is before


def test_names_must_be_there_once():
    categories = [dict(id=4, name='a'), dict(id=2, name='b'), dict(id=9, name='b')]
    assert category_ids(categories[:2], ('b', 'a'), 'f.json') == [2, 4]
    with pytest.raises(UserError, match=r'f\.json has no category c, d; it has a, b'):
        category_ids(categories[:2], ('c', 'a', 'd'), 'f.json')
    with pytest.raises(UserError, match="has 2 categories 'b', with the ids 2, 9"):
        category_ids(categories, ('a', 'b'), 'f.json')
