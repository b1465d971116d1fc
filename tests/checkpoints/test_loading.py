"""What load says and does when a checkpoint fits, almost fits or does not fit."""

import json
import re

import pytest
import torch
from mmengine.logging import MMLogger
from support.checkpoint_files import ARCH, assert_untouched, classifier, held, save
from torch import nn

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import CheckpointError, matching
from convnext_backbone.checkpoints.converting import convert
from convnext_backbone.foundation.errors import UserError


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
    with pytest.raises(UserError) as error:
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
    with pytest.raises(UserError) as error:
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


def test_nothing_of_the_report_is_lost_in_json(tmp_path, backbone):
    report = checkpoints.load(backbone, save(tmp_path / 'a.pth', classifier()))
    assert json.loads(json.dumps(report.new)) == report.new


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


def test_weights_that_a_convnext_does_not_have_are_refused(tmp_path, backbone):
    state = {**classifier(), 'stages.0.0.se.fc.weight': torch.zeros(2)}
    source = save(tmp_path / 'a.pth', state)
    with pytest.raises(ValueError, match=r'not those of a ConvNeXt: stages\.0\.0\.se'):
        checkpoints.load(backbone, source)


def test_half_of_a_stage_norm_is_missing(tmp_path, backbone):
    state = ConvNeXt(arch=ARCH).state_dict()
    del state['norm2.bias']
    with pytest.raises(ValueError, match=r'1 weights are missing: norm2.bias'):
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
