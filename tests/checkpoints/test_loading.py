"""What load says and does when a checkpoint fits, almost fits or does not fit."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import MODELS, init_default_scope
from support.published_layouts import cascade_mask_rcnn, mask_rcnn, upernet
from torch import nn

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import (
    Checkpoint,
    CheckpointError,
    CheckpointRef,
    matching,
)
from convnext_backbone.checkpoints.adapt import adapt_channels, adapt_kernel
from convnext_backbone.checkpoints.converting import convert

ARCH = dict(depths=(1, 1, 2, 1), channels=(8, 16, 24, 32))
DET = 'configs/det/cascade_convnext_t_coco.py'
SEG = 'configs/seg/upernet_convnext_t_ade20k.py'


def classifier(arch=ARCH, use_grn=False, **kwargs) -> dict[str, torch.Tensor]:
    """A classifier's state dict under Meta's names."""
    model = ConvNeXt(arch=arch, use_grn=use_grn, **kwargs)
    state = {k: v for k, v in model.state_dict().items() if not re.match(r'norm\d', k)}
    width = model.channels[-1]
    state |= {'norm.weight': torch.ones(width), 'norm.bias': torch.zeros(width)}
    return state | {'head.weight': torch.zeros(5, width), 'head.bias': torch.zeros(5)}


def tensors(layout: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Values for a layout, each tensor one number of its own."""
    return {
        key: torch.full(shape, 1e-4 * n) if shape else torch.tensor(n)
        for n, (key, shape) in enumerate(layout.items())
    }


def save(path, content) -> str:
    torch.save(content, path)
    return str(path)


def held(state: dict[str, torch.Tensor], name: str = 'x.pth') -> Checkpoint:
    """A state dict as if it had been read from a file."""
    return Checkpoint.of(state, CheckpointRef.parse(name), Path(name))


def build(config: str, **options) -> nn.Module:
    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    init_default_scope(cfg.default_scope)
    return MODELS.build(cfg.model)


def assert_untouched(model: nn.Module, before: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.fixture
def backbone() -> ConvNeXt:
    return ConvNeXt(arch=ARCH)


def test_the_report_names_what_came_what_is_new_and_what_was_left(tmp_path, backbone):
    state = {**classifier(), 'downsample_layers.9.0.weight': torch.zeros(2)}
    state['surprise.weight'] = torch.zeros(2)
    source = save(tmp_path / 'a.pth', {'model': state})
    report = checkpoints.load(backbone, source)
    own = backbone.state_dict()
    assert (report.family, report.kind) == ('meta', 'classifier')
    assert report.arch == 'dict(depths=(1, 1, 2, 1), channels=(8, 16, 24, 32))'
    assert set(report.loaded) | set(report.new) == set(own)
    assert set(report.new) == {
        f'norm{i}.{p}' for i in range(4) for p in ('weight', 'bias')
    }
    assert set(report.new.values()) == {'stage norms are new at fine-tuning'}
    assert report.skipped['head.weight'] == 'classifier head'
    assert report.unexpected == ('surprise.weight',)
    line = str(report)
    assert '\n' not in line
    assert f'loaded {len(report.loaded)} of {len(own)} weights from {source}' in line
    assert 'new: 8 (stage norms are new at fine-tuning)' in line
    text = report.full_text()
    assert all(f'  {key}' in text for key in (*report.loaded, *report.new))


def test_the_line_is_logged(tmp_path, backbone):
    logger = MMLogger.get_instance('loading', log_file=str(tmp_path / 'log.txt'))
    report = checkpoints.load(backbone, save(tmp_path / 'a.pth', classifier()))
    for handler in logger.handlers:
        handler.flush()
    assert str(report) in (tmp_path / 'log.txt').read_text()


def test_init_cfg_loads_it_and_mmengines_pretrained_does_too(tmp_path):
    state = classifier()
    source = save(tmp_path / 'a.pth', state)
    for init_cfg in (
        dict(type='convnext_backbone.Checkpoint', source=source),
        dict(type='Pretrained', checkpoint=source),
        [
            dict(type='Constant', layer='LayerNorm', val=3),
            dict(type='Pretrained', checkpoint=source),
        ],
    ):
        model = ConvNeXt(arch=ARCH, init_cfg=init_cfg)
        model.init_weights()
        for key in ('stages.3.0.pwconv2.weight', 'downsample_layers.2.0.bias'):
            assert torch.equal(model.state_dict()[key], state[key])


def test_a_wrong_init_cfg_is_told_when_weights_are_initialised(tmp_path):
    source = save(tmp_path / 'a.pth', classifier(arch='atto'))
    model = ConvNeXt(
        arch=ARCH, init_cfg=dict(type='convnext_backbone.Checkpoint', source=source)
    )
    with pytest.raises(ValueError, match=r"set arch='atto' in the backbone"):
        model.init_weights()


@pytest.mark.parametrize(('mine', 'theirs'), [('tiny', 'small'), ('pico', 'atto')])
def test_a_wrong_arch_names_the_one_that_fits(tmp_path, mine, theirs):
    with torch.device('meta'):
        state = classifier(arch=theirs)
    state = {k: torch.zeros(1).expand(v.shape) for k, v in state.items()}
    model = ConvNeXt(arch=mine)
    with pytest.raises(ValueError) as error:
        matching.match(model, held(state, 'w.pth'), 'auto')
    message = str(error.value)
    assert f'w.pth holds ConvNeXt {theirs}, the model is {mine}' in message
    assert f"set arch='{theirs}' in the backbone" in message


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (
            dict(depths=(1, 1, 3, 1)),
            r'stages\.2\.2\..* do not fit\): set arch=dict\(dep',
        ),
        (
            dict(channels=(8, 16, 24, 40)),
            r'set arch=dict\(depths=\(1, 1, 2, 1\), chann',
        ),
    ],
)
def test_a_wrong_arch_without_a_name_is_spelled_out(tmp_path, backbone, given, message):
    source = save(tmp_path / 'a.pth', classifier(arch={**ARCH, **given}))
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        checkpoints.load(backbone, source)
    assert_untouched(backbone, before)


@pytest.mark.parametrize('v2', [False, True])
def test_v1_and_v2_are_not_mixed(tmp_path, v2):
    source = save(tmp_path / 'a.pth', classifier(use_grn=v2))
    expected = f'set use_grn={v2} in the backbone'
    with pytest.raises(ValueError, match=expected):
        checkpoints.load(ConvNeXt(arch=ARCH, use_grn=not v2), source)


def test_a_file_with_half_its_keys_is_refused(tmp_path, backbone):
    state = classifier()
    kept = {k: v for n, (k, v) in enumerate(state.items()) if n % 2 == 0}
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    with pytest.raises(ValueError) as error:
        checkpoints.load(backbone, save(tmp_path / 'half.pth', kept))
    message = str(error.value)
    lost = [k for k in state if k not in kept and k in before]
    assert f'{len(lost)} weights are missing: ' in message
    assert lost[0] in message
    assert 'the file is incomplete or of another model: get it again' in message
    assert_untouched(backbone, before)
    report = checkpoints.load(backbone, str(tmp_path / 'half.pth'), strict=False)
    assert {report.new[key] for key in lost} == {'missing in the file'}


def test_layer_scale_is_not_lost_in_silence(tmp_path):
    source = save(tmp_path / 'a.pth', classifier())
    model = ConvNeXt(arch=ARCH, layer_scale_init_value=0)
    with pytest.raises(ValueError, match=r'set layer_scale_init_value=1\.0'):
        checkpoints.load(model, source)
    source = save(tmp_path / 'b.pth', classifier(layer_scale_init_value=0))
    with pytest.raises(ValueError, match=r'set layer_scale_init_value=0'):
        checkpoints.load(ConvNeXt(arch=ARCH), source)


def test_no_convnext_is_told(tmp_path, backbone):
    source = save(tmp_path / 'a.pth', {'layer1.0.conv1.weight': torch.zeros(3)})
    with pytest.raises(
        ValueError, match=r'holds no ConvNeXt: it has 1 keys such as lay'
    ):
        checkpoints.load(backbone, source)


def test_fewer_stages_need_less_of_the_file(tmp_path):
    source = save(tmp_path / 'a.pth', classifier())
    model = ConvNeXt(arch=ARCH, out_indices=(0, 2))
    report = checkpoints.load(model, source)
    assert set(report.new) == {
        f'norm{i}.{p}' for i in (0, 2) for p in ('weight', 'bias')
    }
    assert report.skipped['stages.3.0.gamma'] == 'stage that the model does not build'
    assert not report.unexpected


def test_stage_norms_of_a_file_are_taken(tmp_path):
    whole = ConvNeXt(arch=ARCH)
    nn.init.constant_(whole.norm2.weight, 7)
    source = save(tmp_path / 'a.pth', whole.state_dict())
    model = ConvNeXt(arch=ARCH, out_indices=(2, 3))
    report = checkpoints.load(model, source)
    assert report.family == 'ours'
    assert not report.new
    assert model.norm2.weight.tolist() == [7] * 24
    assert report.skipped['norm0.weight'].startswith('norm of a stage that')


@pytest.mark.parametrize('channels', [1, 2, 4, 6, 13])
def test_a_grey_image_gives_the_same_output_whatever_the_channels(tmp_path, channels):
    state = classifier()
    nn.init.normal_(state['downsample_layers.0.0.weight'])
    source = save(tmp_path / 'a.pth', state)
    rgb, other = ConvNeXt(arch=ARCH), ConvNeXt(arch=ARCH, in_channels=channels)
    checkpoints.load(rgb, source)
    report = checkpoints.load(other, source)
    note = f'stem from 3 to {channels} input channels'
    assert report.adapted == {'downsample_layers.0.0.weight': note}
    assert note in str(report)
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        for a, b in zip(
            rgb.eval()(grey.expand(-1, 3, -1, -1)),
            other.eval()(grey.expand(-1, channels, -1, -1)),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_more_channels_repeat_the_given_ones():
    weight = torch.randn(4, 3, 4, 4)
    six = adapt_channels(weight, 6)
    torch.testing.assert_close(six, torch.cat([weight, weight], 1) / 2)
    four = adapt_channels(weight, 4)
    torch.testing.assert_close(four[:, [1, 2]], weight[:, [1, 2]])
    torch.testing.assert_close(four[:, 0], four[:, 3])


def test_larger_kernels_compute_the_same(tmp_path):
    source = save(tmp_path / 'a.pth', classifier())
    seven, nine = ConvNeXt(arch=ARCH), ConvNeXt(arch=ARCH, kernel_size=9)
    checkpoints.load(seven, source)
    report = checkpoints.load(nine, source)
    assert len(report.adapted) == 5
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(seven.eval()(x), nine.eval()(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_smaller_kernels_are_the_centre():
    weight = torch.arange(49.0).reshape(1, 1, 7, 7)
    assert torch.equal(adapt_kernel(weight, 3), weight[:, :, 2:5, 2:5])


def test_half_precision_weights_arrive_in_full(tmp_path, backbone):
    state = {k: v.half() for k, v in classifier().items()}
    checkpoints.load(backbone, save(tmp_path / 'a.pth', state))
    weight = backbone.state_dict()['stages.0.0.pwconv1.weight']
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state['stages.0.0.pwconv1.weight'].float())


def test_a_weight_that_is_not_finite_is_told(tmp_path, backbone):
    state = classifier()
    state['stages.1.0.norm.bias'][0] = float('nan')
    source = save(tmp_path / 'a.pth', state)
    with pytest.raises(CheckpointError, match=r'stages\.1\.0\.norm\.bias'):
        checkpoints.load(backbone, source)


def test_a_sha256_is_checked(tmp_path, backbone):
    source = save(tmp_path / 'a.pth', classifier())
    with pytest.raises(CheckpointError, match='sha256'):
        checkpoints.load(backbone, source, sha256='0' * 64)


def test_strict_is_one_of_three(tmp_path, backbone):
    with pytest.raises(ValueError, match="expected 'auto', True or False"):
        checkpoints.load(backbone, save(tmp_path / 'a.pth', {}), strict='yes')


# Whole models.


def test_published_detectors_and_segmentors_load_as_they_are(tmp_path, in_root):
    mm2 = {'mmdet_version': '2.11.0', 'CLASSES': ('a',) * 80, 'PALETTE': None}
    for config, layout in (
        (DET, cascade_mask_rcnn('tiny')),
        ('configs/det/mask_convnext_t_coco.py', mask_rcnn('tiny')),
        (SEG, upernet('tiny')),
    ):
        state = tensors(layout)
        source = save(tmp_path / 'm.pth', {'meta': mm2, 'state_dict': state})
        model = build(config)
        report = checkpoints.load(model, source, strict=True)
        assert report.family == 'meta'
        assert report.kind == ('segmentor' if config == SEG else 'detector')
        assert report.dataset_meta['classes'] == ('a',) * 80
        assert len(report.loaded) == len(state)
        own = model.state_dict()
        assert all(torch.equal(own[k], v.to(own[k])) for k, v in state.items())


def small(config: str, **options) -> nn.Module:
    """A published config's model, shrunk."""
    narrow = [8, 16, 24, 32]
    options['model.backbone.arch'] = dict(ARCH, _delete_=True)
    if config == DET:
        options['model.neck.in_channels'] = narrow
    else:
        options['model.decode_head.in_channels'] = narrow
        options['model.auxiliary_head.in_channels'] = 24
    return build(config, **options)


def test_a_detector_given_to_a_backbone_is_told(tmp_path, in_root, backbone):
    detector = small(DET)
    source = save(tmp_path / 'det.pth', {'state_dict': detector.state_dict()})
    with pytest.raises(ValueError) as error:
        checkpoints.load(backbone, source)
    message = str(error.value)
    assert 'is a whole detector (it has neck, roi_head, rpn_head)' in message
    assert (
        'give it as --init or load_from; to start from its backbone only, write '
        in message
    )
    report = checkpoints.load(backbone, f'{source}#backbone')
    assert not report.new
    key = 'stages.2.1.dwconv.weight'
    assert torch.equal(
        backbone.state_dict()[key], detector.state_dict()[f'backbone.{key}']
    )


def test_a_classifier_given_to_an_evaluation_is_told(tmp_path, in_root):
    source = save(tmp_path / 'cls.pth', classifier())
    with pytest.raises(
        ValueError, match=r'is a classifier.*nothing to evaluate; train'
    ):
        checkpoints.load(small(DET), source, strict=True)


def test_a_classifier_starts_a_detector(tmp_path, in_root):
    state = classifier()
    detector = small(DET)
    report = checkpoints.load(detector, save(tmp_path / 'cls.pth', state))
    assert report.new['roi_head.mask_head.0.conv_logits.bias'] == (
        'the file holds a backbone only'
    )
    assert report.new['backbone.norm0.bias'] == 'stage norms are new at fine-tuning'
    key = 'stages.2.1.dwconv.weight'
    assert torch.equal(detector.state_dict()[f'backbone.{key}'], state[key])


def test_a_segmentor_given_to_a_detector_is_told(tmp_path, in_root):
    source = save(tmp_path / 'seg.pth', {'state_dict': small(SEG).state_dict()})
    with pytest.raises(
        ValueError, match=r'it is a segmentor with auxiliary_head, decode'
    ):
        checkpoints.load(small(DET), source)


def test_another_detector_is_told(tmp_path, in_root):
    mask = build(
        'configs/det/mask_convnext_t_coco.py',
        **{
            'model.backbone.arch': dict(ARCH, _delete_=True),
            'model.neck.in_channels': [8, 16, 24, 32],
        },
    )
    source = save(tmp_path / 'mask.pth', {'state_dict': mask.state_dict()})
    with pytest.raises(
        ValueError, match=r'weights are missing: roi_head\.bbox_head\.0'
    ):
        checkpoints.load(small(DET), source)


CLASSES = {
    DET: {
        **{f'model.roi_head.bbox_head.{i}.num_classes': 3 for i in range(3)},
        **{'model.roi_head.mask_head.num_classes': 3},
    },
    SEG: {'model.decode_head.num_classes': 3, 'model.auxiliary_head.num_classes': 3},
}


@pytest.mark.parametrize('config', [DET, SEG])
def test_other_classes_leave_only_the_last_layers_new(tmp_path, in_root, config):
    old, new = small(config), small(config, **CLASSES[config])
    source = save(tmp_path / 'old.pth', {'state_dict': old.state_dict()})
    report = checkpoints.load(new, source)
    last = 'fc_cls|fc_reg|conv_logits' if config == DET else 'conv_seg'
    expected = {k for k in new.state_dict() if re.search(rf'\.({last})\.', k)}
    assert set(report.new) == expected
    assert all('another number of classes' in reason for reason in report.new.values())
    for key in set(new.state_dict()) - expected:
        assert torch.equal(new.state_dict()[key], old.state_dict()[key])
    with pytest.raises(ValueError, match='would be new'):
        checkpoints.load(small(config, **CLASSES[config]), source, strict=True)


def test_another_width_of_the_neck_is_not_taken_for_classes(tmp_path, in_root):
    source = save(tmp_path / 'old.pth', {'state_dict': small(SEG).state_dict()})
    other = small(SEG, **{'model.decode_head.channels': 64})
    with pytest.raises(ValueError, match='have another shape: decode_head'):
        checkpoints.load(other, source)


def test_mmpretrains_names_in_a_whole_model(tmp_path, in_root):
    model = small(SEG)
    renamed = {
        k.replace('dwconv', 'depthwise_conv').replace('pwconv', 'pointwise_conv'): v
        for k, v in model.state_dict().items()
    }
    meta = {'mmengine_version': '0.10.4', 'dataset_meta': {'classes': ('a', 'b')}}
    source = save(tmp_path / 'mm.pth', {'state_dict': renamed, 'meta': meta})
    other = small(SEG)
    report = checkpoints.load(other, source, strict=True)
    assert report.family == 'mmpretrain'
    assert report.dataset_meta == {'classes': ('a', 'b')}
    assert_untouched(other, model.state_dict())


def test_models_without_a_convnext_load_too(tmp_path):
    model, other = nn.Linear(2, 3), nn.Linear(2, 3)
    report = checkpoints.load(other, save(tmp_path / 'a.pth', model.state_dict()))
    assert torch.equal(model.weight, other.weight)
    assert report.loaded == ('weight', 'bias')
    with pytest.raises(ValueError, match='1 weights are missing: bias'):
        checkpoints.load(other, save(tmp_path / 'b.pth', {'weight': model.weight}))


def test_nothing_of_the_report_is_lost_in_json(tmp_path, backbone):
    report = checkpoints.load(backbone, save(tmp_path / 'a.pth', classifier()))
    assert json.loads(json.dumps(report.new)) == report.new


# Odd files and odd models.


class Plain(BaseModel):
    """A model of mmengine alone, whose parts have no names that mmdet has."""

    def __init__(self, backbone='backbone'):
        super().__init__()
        self.add_module(backbone, ConvNeXt(arch=ARCH))
        self.fc = nn.Linear(32, 3)

    def forward(self, inputs, mode='tensor'):
        return self.fc(inputs)


@pytest.mark.parametrize('backbone', ['backbone', 'img_backbone', 'encoder'])
@pytest.mark.parametrize('strict', ['auto', True])
def test_a_models_own_file_loads_whatever_its_parts_are_called(
    tmp_path, backbone, strict
):
    model, other = Plain(backbone), Plain(backbone)
    source = save(tmp_path / 'own.pth', {'state_dict': model.state_dict()})
    report = checkpoints.load(other, source, strict=strict)
    assert not report.new
    assert_untouched(other, model.state_dict())


def test_a_nested_model_loads_its_own_file(tmp_path):
    model, other = (nn.Sequential(Plain()) for _ in range(2))
    source = save(tmp_path / 'own.pth', model.state_dict())
    assert not checkpoints.load(other, source, strict=True).new
    assert_untouched(other, model.state_dict())


def test_a_model_with_two_backbones_loads_its_own_file(tmp_path):
    model, other = (nn.ModuleDict({'a': Plain(), 'b': Plain()}) for _ in range(2))
    source = save(tmp_path / 'own.pth', model.state_dict())
    assert not checkpoints.load(other, source, strict=True).new
    assert_untouched(other, model.state_dict())


def test_the_backbone_of_an_averaged_detector_can_be_had(tmp_path, in_root, backbone):
    raw, averaged = small(DET), small(DET)
    content = {'state_dict': raw.state_dict(), 'model_ema': averaged.state_dict()}
    source = save(tmp_path / 'det.pth', content)
    with pytest.raises(ValueError, match=r'write .*det\.pth#model_ema&backbone$'):
        checkpoints.load(backbone, f'{source}#model_ema')
    checkpoints.load(backbone, f'{source}#model_ema&backbone')
    assert_untouched(backbone, averaged.backbone.state_dict())


def test_a_mistyped_entry_lists_those_of_the_file(tmp_path, backbone):
    source = save(
        tmp_path / 'a.pth', {'model': classifier(), 'model_ema': classifier()}
    )
    with pytest.raises(
        ValueError, match=r"'model_emma'.*its entries are model, model_e"
    ):
        checkpoints.load(backbone, f'{source}#model_emma')


def test_an_unusual_entry_can_be_named(tmp_path, backbone):
    source = save(tmp_path / 'a.pth', {'weights': classifier(), 'epoch': 3})
    with pytest.raises(ValueError, match=r'entries are weights, epoch: say which one'):
        checkpoints.load(backbone, source)
    assert checkpoints.load(backbone, f'{source}#weights').loaded


def test_paths_need_not_be_strings(tmp_path, backbone):
    save(tmp_path / 'a.pth', classifier())
    assert checkpoints.load(backbone, tmp_path / 'a.pth').loaded


@pytest.mark.parametrize(
    'content', [{}, {0: torch.zeros(1)}, {'state_dict': {}}, {'a': 1}, {'meta': None}]
)
def test_files_without_weights_are_told(tmp_path, backbone, content):
    with pytest.raises(ValueError, match=r'holds no (ConvNeXt|state dict)'):
        checkpoints.load(backbone, save(tmp_path / 'a.pth', content))


@pytest.mark.parametrize('order', [1, -1])
def test_a_checkpoint_comes_after_other_initialisation(tmp_path, order):
    state = classifier()
    configs = [
        dict(type='Constant', layer='LayerNorm', val=3),
        dict(type='Pretrained', checkpoint=save(tmp_path / 'a.pth', state)),
    ]
    model = ConvNeXt(arch=ARCH, init_cfg=configs[::order])
    model.init_weights()
    assert model.norm0.weight.tolist() == [3] * 8
    assert model.stages[0][0].norm.weight.tolist() == [1] * 8


def test_the_usual_prefix_of_openmmlab_is_understood(tmp_path, in_root):
    detector = small(DET)
    source = save(tmp_path / 'det.pth', {'state_dict': detector.state_dict()})
    init_cfg = dict(type='Pretrained', checkpoint=source, prefix='backbone.')
    model = ConvNeXt(arch=ARCH, init_cfg=init_cfg)
    model.init_weights()
    assert_untouched(model, detector.backbone.state_dict())


def test_init_cfg_of_a_whole_model_is_refused(tmp_path):
    model = Plain()
    model.init_cfg = dict(type='convnext_backbone.Checkpoint', source='x.pth')
    with pytest.raises(ValueError, match=r'Plain: move it to model\.backbone'):
        model.init_weights()


@pytest.mark.parametrize(
    ('key', 'shape'),
    [
        ('stages.3.0.dwconv.weight', (32, 32, 5, 5)),
        ('stages.0.0.dwconv.weight', (8, 1, 5, 9)),
        ('stages.0.0.dwconv.weight', ()),
        ('stages.0.0.pwconv1.weight', (32, 9)),
    ],
)
def test_shapes_that_cannot_be_adapted_change_nothing(tmp_path, backbone, key, shape):
    source = save(tmp_path / 'a.pth', {**classifier(), key: torch.zeros(shape)})
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=r'have another shape: stages'):
        checkpoints.load(backbone, source)
    assert_untouched(backbone, before)
    report = checkpoints.load(backbone, source, strict=False)
    assert report.new[key] == 'of another shape in the file'
    assert 'stages.1.0.gamma' in report.loaded


def test_weights_that_a_convnext_does_not_have_are_refused(tmp_path, backbone):
    state = {**classifier(), 'stages.0.0.se.fc.weight': torch.zeros(2)}
    source = save(tmp_path / 'a.pth', state)
    with pytest.raises(ValueError, match=r'not those of a ConvNeXt: stages\.0\.0\.se'):
        checkpoints.load(backbone, source)


def test_half_of_a_stage_norm_is_missing(tmp_path, backbone):
    state = ConvNeXt(arch=ARCH).state_dict()
    del state['norm2.bias']
    with pytest.raises(ValueError, match='1 weights are missing: norm2.bias'):
        checkpoints.load(backbone, save(tmp_path / 'a.pth', state))


@pytest.mark.parametrize(
    ('lost', 'v2'),
    [
        (r'stages\.2\.', False),
        (r'stages\.0\.0\.gamma', False),
        (r'stages\.0\.0\.dwconv', False),
        (r'stages\.2\.0\.grn\.gamma', True),
        (r'stages\..\..\.(norm|pw)', False),
    ],
)
def test_incomplete_files_are_not_taken_for_another_arch(tmp_path, lost, v2):
    state = classifier(use_grn=v2)
    kept = {key: value for key, value in state.items() if not re.match(lost, key)}
    assert len(kept) < len(state)
    with pytest.raises(ValueError, match=r'weights are missing: stages.*incomplete'):
        checkpoints.load(
            ConvNeXt(arch=ARCH, use_grn=v2), save(tmp_path / 'a.pth', kept)
        )


def test_what_is_left_aside_is_reported(tmp_path, backbone):
    state = {f'visual.trunk.{k}': v for k, v in classifier().items()}
    source = save(tmp_path / 'clip.pth', {**state, 'text.weight': torch.zeros(2)})
    report = checkpoints.load(backbone, source)
    assert report.skipped['text.weight'] == 'not of the backbone'
    both = {f'{n}.{k}': v for n in ('student', 'teacher') for k, v in state.items()}
    report = checkpoints.load(backbone, save(tmp_path / 'both.pth', both) + '#teacher')
    left = [k for k, why in report.skipped.items() if why.startswith('not of the part')]
    assert len(left) == len(state)


def test_queries_are_not_classes():
    class Head(nn.Module):
        def __init__(self, queries, classes):
            super().__init__()
            self.num_classes = classes
            self.query_embed = nn.Embedding(queries, 4)
            self.cls = nn.Linear(4, classes + 1)

    def state_of(*args):
        return {f'0.{k}': v for k, v in Head(*args).state_dict().items()}

    model = nn.Sequential(Head(20, 80))
    tensors, report = matching.match(model, held(state_of(20, 6)), 'auto')
    assert set(report.new) == {'0.cls.weight', '0.cls.bias'}
    with pytest.raises(ValueError, match='have another shape: 0.query_embed.weight'):
        matching.match(model, held(state_of(10, 80)), 'auto')


def test_norms_of_some_stages_survive_mmpretrains_names(tmp_path):
    source = save(tmp_path / 'a.pth', ConvNeXt(ARCH, out_indices=(1, 3)).state_dict())
    there, back = tmp_path / 'there.pth', tmp_path / 'back.pth'
    assert convert(source, there, 'mmpretrain')[1] == []
    convert(there, back, 'ours')
    state = checkpoints.read_checkpoint(source).state
    result = checkpoints.read_checkpoint(back).state
    assert result.keys() == state.keys()
    last = save(tmp_path / 'b.pth', ConvNeXt(ARCH, out_indices=(3,)).state_dict())
    _, left_out = convert(last, tmp_path / 'last.pth', 'mmpretrain')
    assert left_out == ['norm3.weight', 'norm3.bias']  # would mean the classifier's
