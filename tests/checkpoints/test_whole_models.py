"""Detectors and segmentors: loaded whole, started from a backbone, mixed up."""

import re

import pytest
import torch
from mmengine.model import BaseModel
from support.checkpoint_files import (
    ARCH,
    DET,
    SEG,
    assert_untouched,
    build,
    classifier,
    held,
    save,
    small,
)
from support.published_layouts import cascade_mask_rcnn, mask_rcnn, upernet
from torch import nn

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import matching
from convnext_backbone.foundation.errors import UserError


@pytest.fixture
def backbone() -> ConvNeXt:
    return ConvNeXt(arch=ARCH)


def tensors(layout: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Values for a layout, each tensor one number of its own."""
    return {
        key: torch.full(shape, 1e-4 * n) if shape else torch.tensor(n)
        for n, (key, shape) in enumerate(layout.items())
    }


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


def test_a_detector_given_to_a_backbone_is_told(tmp_path, in_root, backbone):
    detector = small(DET)
    source = save(tmp_path / 'det.pth', {'state_dict': detector.state_dict()})
    with pytest.raises(UserError) as error:
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
    mask = small('configs/det/mask_convnext_t_coco.py')
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


def mmpretrain(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict of ours under mmpretrain's names."""
    return {
        k.replace('dwconv', 'depthwise_conv').replace('pwconv', 'pointwise_conv'): v
        for k, v in state.items()
    }


@pytest.mark.parametrize('renamed', [False, True])
@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_the_trained_norm_of_a_dense_backbones_last_stage_is_loaded(
    tmp_path, renamed, prefix
):
    trained, other = (ConvNeXt(ARCH, out_indices=(3,)) for _ in range(2))
    nn.init.normal_(trained.norm3.weight)
    state = trained.state_dict()
    state = mmpretrain(state) if renamed else state
    state = {f'{prefix}{k}': v for k, v in state.items()}
    source = save(tmp_path / 'dense.pth', state)
    for part in ('', '#backbone') if prefix else ('',):
        report = checkpoints.load(other, source + part)
        assert not report.new
        assert torch.equal(other.norm3.weight, trained.norm3.weight)
        assert report.kind == 'backbone'
        assert ("norm3 assumed to be the stage's" in str(report)) == renamed


@pytest.mark.parametrize('head', ['head.fc', 'head.layers.fc', 'head.classifier'])
@pytest.mark.parametrize('out_indices', [(3,), (0, 1, 2, 3)])
@pytest.mark.parametrize('outer', ['', 'student.'])
def test_a_classifiers_norm_of_mmpretrain_is_no_stages(
    tmp_path, head, out_indices, outer
):
    state = mmpretrain(ConvNeXt(ARCH, out_indices=(3,)).state_dict())
    state = {f'{outer}backbone.{k}': v for k, v in state.items()}
    state[f'{outer}backbone.norm3.weight'] += 1
    source = save(
        tmp_path / 'cls.pth',
        {**state, f'{outer}{head}.weight': torch.zeros(5, 32)},
    )
    lines = []
    for part in ('', f'#{outer}backbone'):
        model = ConvNeXt(ARCH, out_indices=out_indices)
        report = checkpoints.load(model, source + part)
        assert model.norm3.weight.tolist() == [1] * 32
        assert report.new['norm3.weight'] == 'stage norms are new at fine-tuning'
        assert report.kind == 'classifier'
        lines += [note for note in report.notes if note.startswith('norm3')]
    assert (
        lines == ["norm3 is the classifier's (head is beside it) and not a stage's"] * 2
    )


def test_the_last_norm_of_a_detector_with_mmpretrains_names(tmp_path):
    trained, other = (ConvNeXt(ARCH, out_indices=(3,)) for _ in range(2))
    nn.init.normal_(trained.norm3.weight)
    state = mmpretrain(trained.state_dict())
    state = {f'backbone.{k}': v for k, v in state.items()}
    for name in ('bbox_head.weight', 'decode_head.conv_seg.weight'):
        source = save(tmp_path / 'det.pth', {**state, name: torch.zeros(2)})
        report = checkpoints.load(other, f'{source}#backbone')
        assert torch.equal(other.norm3.weight, trained.norm3.weight)
        assert not report.new
        assert 'norm3' not in str(report)


def test_models_without_a_convnext_load_too(tmp_path):
    model, other = nn.Linear(2, 3), nn.Linear(2, 3)
    report = checkpoints.load(other, save(tmp_path / 'a.pth', model.state_dict()))
    assert torch.equal(model.weight, other.weight)
    assert report.loaded == ('weight', 'bias')
    with pytest.raises(ValueError, match='1 weights are missing: bias'):
        checkpoints.load(other, save(tmp_path / 'b.pth', {'weight': model.weight}))


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
    _tensors, report = matching.match(model, held(state_of(20, 6)), 'auto')
    assert set(report.new) == {'0.cls.weight', '0.cls.bias'}
    with pytest.raises(ValueError, match=r'have another shape: 0.query_embed.weight'):
        matching.match(model, held(state_of(10, 80)), 'auto')
