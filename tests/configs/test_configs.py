"""Every config: it parses, stays short, builds, and says what it is."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from support.paths import ROOT

from convnext_backbone.config.checks import check_channels
from convnext_backbone.config.parts import iter_heads
from convnext_backbone.demo_scenes import CLASSES, PALETTE, SEG_CLASSES, SEG_PALETTE
from convnext_backbone.inspect_config.fake_models import meta_model

LEAVES = sorted((ROOT / 'configs').glob('*/*.py'))
SCRATCH = ('_demo.py', '_nuclei.py', '_aerial.py')  # trained without weights
LEAF_NAMES = [str(p.relative_to(ROOT / 'configs')) for p in LEAVES]


@pytest.fixture(params=LEAVES, ids=LEAF_NAMES)
def leaf(request) -> Path:
    return request.param


def test_leaves_are_short_and_say_what_they_are(leaf):
    lines = leaf.read_text().splitlines()
    assert len(lines) <= 20
    assert lines[0].startswith('"""')
    if not leaf.name.endswith(SCRATCH):
        docstring = leaf.read_text().split('"""')[1]
        assert re.search(r'published', docstring)
        assert re.search(r'8 GPUs x \d images', docstring)
        command = f'convnext-backbone train {leaf.parent.name}/{leaf.stem}'
        assert f'\nTrain: {command}\n' in docstring


def test_configs_build_with_matching_channels_and_classes(leaf):
    cfg = Config.fromfile(leaf)
    check_channels(cfg)
    counts = {head['num_classes'] for _, head in iter_heads(cfg.model)}
    assert len(counts) == 1
    classes = cfg.get('metainfo', {}).get('classes')
    if classes:
        assert counts == {len(classes)}
        assert len(cfg.metainfo.palette) == len(classes)
    ours = cfg.model.backbone.type == 'convnext_backbone.ConvNeXt'
    assert ours == ('convnext' in leaf.name)
    model = meta_model(cfg)
    assert (
        type(model.backbone).__module__ == 'convnext_backbone.backbone.convnext'
    ) == ours
    assert cfg.custom_imports.imports == ['convnext_backbone']


def test_evaluators_read_the_data_that_is_tested(leaf):
    cfg = Config.fromfile(leaf)
    for split in ('val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == cfg.data_root
        ann_file = cfg[f'{split}_evaluator'].get('ann_file')
        if ann_file is not None:
            assert ann_file == dataset.data_root + dataset.ann_file


def test_demo_configs_have_the_generator_s_classes_and_colours():
    det = Config.fromfile(ROOT / 'configs/det/cascade_convnext_atto_demo.py')
    assert tuple(det.metainfo.classes) == CLASSES
    assert tuple(det.metainfo.palette) == PALETTE
    seg = Config.fromfile(ROOT / 'configs/seg/upernet_convnext_atto_demo.py')
    assert tuple(seg.metainfo.classes) == SEG_CLASSES
    assert tuple(seg.metainfo.palette) == SEG_PALETTE


@pytest.mark.parametrize('name', [n for n in LEAF_NAMES if n.endswith(SCRATCH)])
def test_small_models_learn_from_one_step(name):
    """One forward, loss and backward; every parameter that trains gets a gradient."""
    cfg = Config.fromfile(ROOT / 'configs' / name)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).train()
    torch.manual_seed(0)
    images = [torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8)] * 2
    if name.startswith('det'):
        from mmdet.testing import demo_mm_inputs

        data = demo_mm_inputs(2, (3, 128, 128), num_items=[4, 4], with_mask=True)
        for sample in data['data_samples']:
            sample.gt_instances.labels %= len(cfg.metainfo.classes)
    else:
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        samples = []
        for _ in images:
            sample = SegDataSample(metainfo=dict(img_shape=(128, 128)))
            label = torch.randint(0, len(cfg.metainfo.classes), (1, 128, 128))
            sample.gt_sem_seg = PixelData(data=label)
            samples.append(sample)
        data = dict(inputs=images, data_samples=samples)
    batch = model.data_preprocessor(data, training=True)
    loss, _ = model.parse_losses(model(**batch, mode='loss'))
    assert loss.isfinite()
    loss.backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None]
    assert not unused


def test_the_example_of_a_new_size_is_a_config(tmp_path):
    text = (ROOT / 'CONTRIBUTING.md').read_text()
    leaf = re.search(r'```python\n(""".+?)```', text, re.DOTALL)[1]
    assert len(leaf.splitlines()) < 20
    path = tmp_path / 'cascade_convnextv2_t_coco.py'
    base = ROOT / 'configs' / 'det' / 'cascade_convnext_t_coco.py'
    path.write_text(leaf.replace("'cascade_convnext_t_coco.py'", f"'{base}'"))
    cfg = Config.fromfile(path)
    check_channels(cfg)
    init_default_scope('mmdet')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert model.backbone.stages[0][0].grn is not None
