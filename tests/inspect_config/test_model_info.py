"""Counts of models against other counters, published figures and real training steps.

The memory estimate is compared with what autograd really saves in one step on the CPU.
"""

import functools
import json
from dataclasses import asdict

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from support import commands
from support.paths import ROOT
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convnext_backbone.backbone.archs import ARCHS
from convnext_backbone.config.loading import read_config
from convnext_backbone.inspect_config.model_info import ModelInfo, model_info
from convnext_backbone.inspect_config.published_costs import PUBLISHED, markdown_table
from convnext_backbone.inspect_config.training_memory import (
    SavedBytes,
    estimate_training,
)

DET = 'det/cascade_convnext_atto_demo'
SEG = 'seg/upernet_convnext_atto_demo'
BEGIN, END = '<!-- model_info: begin -->\n', '<!-- model_info: end -->'
COMMAND = 'convnext-backbone model-info --markdown'
OUT_OF_DATE = (
    f'the table of docs/model_zoo.md is out of date: replace what stands between '
    f'{BEGIN.strip()} and {END} by the output of: {COMMAND}'
)


def read(name: str) -> Config:
    return read_config(str(ROOT / 'configs' / f'{name}.py'))


def build(cfg: Config) -> nn.Module:
    init_default_scope(cfg.default_scope)
    return MODELS.build(cfg.model)


tool = functools.partial(commands.tool, 'model_info')


QUICK = (  # one of each kind; the others are slow
    'det/mask_convnext_t_coco',
    'det/mask_convnextv2_h_coco',
    'det/mask_swin_t_coco',
    'seg/upernet_convnext_t_ade20k',
)


@functools.cache
def published(name: str) -> ModelInfo:
    return model_info(read(name), name, training=False)


@pytest.fixture(scope='module')
def held() -> str:
    """The table that docs/model_zoo.md holds."""
    text = (ROOT / 'docs' / 'model_zoo.md').read_text()
    assert text.count(BEGIN) == text.count(END) == 1, (
        f'docs/model_zoo.md must hold one line {BEGIN.strip()} and one {END}, and '
        f'between them what this prints: {COMMAND}'
    )
    return text.split(BEGIN)[1].split(END)[0]


@pytest.mark.parametrize(
    'name',
    [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in PUBLISHED],
)
def test_published_figures(held, name):
    info, (params, flops, _) = published(name), PUBLISHED[name]
    if params is not None:
        assert round(info.params / 1e6) == params
    tolerance = 0.01 if 'swin_l' in name else 0.003
    assert info.flops / 1e9 == pytest.approx(flops, rel=tolerance)
    row = markdown_table([info]).splitlines()[-1]
    assert row in held.splitlines(), OUT_OF_DATE


@pytest.mark.slow
def test_swin_l_was_published_without_attention_s_products():
    window, sides = 49, ((200, 320), (100, 160), (50, 80), (25, 40))
    products = sum(
        # Windows of 7 x 7 on padded maps; scores and their product with the values.
        depth * 2 * (-(-h // 7) * 7) * (-(-w // 7) * 7) * window * 192 * 2**i
        for i, (depth, (h, w)) in enumerate(zip((2, 2, 18, 2), sides, strict=True))
    )
    ours = published('det/cascade_swin_l_in22k_coco').flops
    assert (ours - products) / 1e9 == pytest.approx(1382, rel=0.002)


@pytest.mark.slow
def test_the_model_zoo_holds_the_table(held):
    assert held == markdown_table([published(name) for name in PUBLISHED]), OUT_OF_DATE


@pytest.mark.parametrize('name', [DET, SEG, 'det/mask_swin_t_coco'])
def test_parts_add_up_and_parameters_are_those_of_the_real_model(name):
    cfg = read(name)
    before = cfg.to_dict()
    info = model_info(cfg, name, (64, 96))
    assert cfg.to_dict() == before
    for key in ('params', 'flops', 'activations'):
        assert getattr(info, key) == sum(getattr(p, key) for p in info.parts)
    model = build(cfg)
    assert {p.name: p.params for p in info.parts} == {
        child: sum(p.numel() for p in module.parameters())
        for child, module in model.named_children()
        if any(True for _ in module.parameters())
    }
    maps = model.backbone(torch.zeros(1, 3, 64, 96))
    assert info.channels == tuple(m.shape[1] for m in maps)
    assert info.strides == tuple(64 // m.shape[2] for m in maps)
    trained = [p for p in model.parameters() if p.requires_grad]
    step = info.training
    assert step.weights == 4 * info.params
    assert step.gradients == 4 * sum(p.numel() for p in trained)
    optimizer = torch.optim.AdamW(trained)
    for p in trained:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    states = optimizer.state_dict()['state'].values()
    moments = (v for s in states for v in s.values() if v.numel() > 1)
    assert step.optimizer == pytest.approx(sum(v.nbytes for v in moments), rel=1e-3)


def test_two_stage_detectors_agree_with_torch_s_counter_on_a_real_model():
    cfg = read('det/mask_convnext_atto_nuclei')
    parts = {p.name: p for p in model_info(cfg, 'n', (64, 96), training=False).parts}
    model = build(cfg).eval()
    heads = model.roi_head
    maps = None

    def backbone():
        return model.backbone(torch.rand(1, 3, 64, 96))

    def roi_head():
        channels = cfg.model.neck.out_channels
        heads.bbox_head(torch.rand(1000, channels, 7, 7))
        heads.mask_head(torch.rand(100, channels, 14, 14))

    runs = dict(
        backbone=backbone,
        neck=lambda: model.neck(maps),
        rpn_head=lambda: model.rpn_head(maps),
        roi_head=roi_head,
    )
    assert list(parts) == list(runs)
    with torch.no_grad():
        for name, run in runs.items():
            with FlopCounterMode(display=False) as counter:
                maps = run()
            assert parts[name].flops == counter.get_total_flops() / 2


def test_segmentors_agree_with_mmengine_s_counter_on_a_real_model():
    cfg = read(SEG)
    info = model_info(cfg, SEG, (64, 96), training=False)
    model = build(cfg).eval()
    model.forward = model._forward
    analyzer = FlopAnalyzer(model, torch.rand(1, 3, 64, 96))
    analyzer.unsupported_ops_warnings(False).tracer_warnings('none')
    by_operator = analyzer.by_operator()
    products = sum(by_operator[k] for k in ('conv', 'linear', 'matmul', 'addmm', 'bmm'))
    assert info.flops == products
    assert {p.name: p.flops for p in info.parts}['auxiliary_head'] == 0


@pytest.mark.parametrize('arch', ['nano', 'huge'])
def test_the_backbone_agrees_with_pencil_and_paper(arch):
    h, w = 512, 256
    cfg = read(SEG)
    channels = list(ARCHS[arch]['channels'])
    cfg.model.backbone.update(arch=arch, use_grn=True, in_channels=5)
    cfg.model.decode_head.in_channels = channels
    cfg.model.auxiliary_head.in_channels = channels[2]
    flops = outputs = 0
    for i, (depth, c) in enumerate(zip(ARCHS[arch]['depths'], channels, strict=True)):
        h, w = (h // 4, w // 4) if i == 0 else (h // 2, w // 2)
        down = 4 * 4 * 5 if i == 0 else 2 * 2 * channels[i - 1]
        flops += h * w * c * (down + depth * (7 * 7 + 4 * c + 4 * c))
        outputs += h * w * c * (1 + depth * (1 + 4 + 1))
    backbone = model_info(cfg, arch, (512, 256), training=False).parts[0]
    assert backbone.name == 'backbone'
    assert (backbone.flops, backbone.activations) == (flops, outputs)


def small_batch(cfg: Config, size: tuple[int, int]) -> dict:
    torch.manual_seed(0)
    if cfg.default_scope == 'mmdet':
        from mmdet.testing import demo_mm_inputs

        data = demo_mm_inputs(2, (3, *size), num_items=[8, 8], with_mask=True)
        for sample in data['data_samples']:
            sample.gt_instances.labels *= 0
        return data
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, *size)))
        samples.append(sample)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8)] * 2
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize(
    ('name', 'amp', 'low', 'high'),
    [
        (SEG, False, 0.93, 1.05),
        (SEG, True, 0.93, 1.05),
        ('det/faster_convnext_t_coco', False, 0.95, 1.05),
        # An untrained RPN finds fewer positive proposals than the sampler allows.
        (DET, False, 0.95, 1.3),
    ],
)
def test_estimated_activations_are_what_a_real_step_saves(name, amp, low, high):
    size = (128, 192)
    cfg = read(name)
    cfg.train_dataloader.batch_size = 2
    cfg.model.backbone.drop_path_rate = 0.0
    cfg.optim_wrapper.type = 'AmpOptimWrapper' if amp else 'OptimWrapper'
    cfg.optim_wrapper.dtype = 'bfloat16'
    if name == SEG:
        cfg.model.data_preprocessor.size = size
    estimate = estimate_training(cfg, size, device='cpu')
    assert estimate.amp == ('bfloat16' if amp else None)
    model = build(cfg).train()
    batch = model.data_preprocessor(small_batch(cfg, size), training=True)
    saved = SavedBytes(model)
    with saved, torch.autocast('cpu', torch.bfloat16, enabled=amp):
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
    assert loss.isfinite()
    assert low < estimate.activations / saved.total < high


def test_memory_follows_precision_batch_and_recomputation():
    cfg = read(SEG)
    cfg.optim_wrapper.type = 'OptimWrapper'
    plain = estimate_training(cfg, (128, 128))
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    amp = estimate_training(cfg, (128, 128))
    assert (plain.amp, amp.amp) == (None, 'float16')
    assert 0.4 < amp.activations / plain.activations < 0.8
    cfg.model.backbone.with_cp = True
    assert estimate_training(cfg, (128, 128)).activations < 0.8 * amp.activations
    cfg.train_dataloader.batch_size = 1
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.1, momentum=0.9)
    single = estimate_training(cfg, (128, 128))
    assert single.activations < amp.activations
    assert single.optimizer == single.gradients


def test_default_shapes():
    assert model_info(read(DET), DET, training=False).shape == (800, 1280)
    name = 'seg/upernet_convnext_b_in22k_640_ade20k'
    info = model_info(read(name), name)
    assert info.shape == (640, 2560)
    assert info.training.shape == (640, 640)


def test_deformable_attention_is_counted_by_a_real_run():
    info = model_info(read('det/dino_convnext_t_coco'), 'dino', (256, 256))
    flops = {part.name: part.flops for part in info.parts}
    assert all(flops[name] > 1e6 for name in ('backbone', 'neck', 'encoder', 'decoder'))
    assert info.training is None


def test_the_tool_prints_json(in_root, capsys):
    argv = [DET, SEG, '--json', '--shape', 64, 96]
    argv += ['--cfg-options', 'model.backbone.kernel_size=3']
    assert tool(*argv) == 0
    det, seg = json.loads(capsys.readouterr().out)
    assert (
        set(det)
        == set(seg)
        == {
            *('config', 'shape', 'params', 'flops', 'activations', 'parts', 'strides'),
            *('channels', 'training'),
        }
    )
    assert (det['config'], seg['config']) == (DET, SEG)
    assert det['shape'] == [64, 96]
    assert [p['name'] for p in seg['parts']] == [
        *('backbone', 'decode_head', 'auxiliary_head')
    ]
    assert all(
        set(p) == {'name', 'params', 'flops', 'activations'}
        and all(isinstance(v, int) for k, v in p.items() if k != 'name')
        for p in det['parts'] + seg['parts']
    )
    cfg = read(DET)
    cfg.model.backbone.kernel_size = 3
    expected = model_info(cfg, DET, (64, 96))
    assert det['flops'] == expected.flops
    total = det['training'].pop('total')
    assert total == expected.training.total
    assert det['training'] == json.loads(json.dumps(asdict(expected.training)))


def test_the_tool_prints_a_table(in_root, capsys):
    assert tool(SEG, '--shape', 64, 96) == 0
    out = capsys.readouterr().out
    info = model_info(read(SEG), SEG, (64, 96))
    assert 'one image of 64 x 96' in out
    assert 'multiply-adds' in out
    (total,) = (line.split() for line in out.splitlines() if 'total' in line)
    assert total[1:3] == [f'{info.params / 1e6:.2f}', f'{info.flops / 1e9:.1f}']
    assert '320 channels at stride 32' in out
    assert f'about {info.training.total / 2**30:.1f} GiB, an estimate' in out


def test_errors_are_one_message(in_root, capsys):
    assert tool('det/no_such_config') == 1
    assert tool(DET, '--shape', 16, 96) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith('error: ')] == lines
    assert 'det/no_such_config does not exist' in lines[0]
    assert '--shape 16 96: height and width must be at least 32' in lines[1]
    for argv in ([], ['--markdown', DET]):
        with pytest.raises(SystemExit):
            tool(*argv)
        assert 'at least one CONFIG, or --markdown alone' in capsys.readouterr().err
