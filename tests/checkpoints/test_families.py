"""Weights made by each library give our backbone that library's own features."""

import re

import pytest
import timm
import torch
from timm.models.convnext import ConvNeXt as TimmConvNeXt
from timm.models.convnext import checkpoint_filter_fn
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import CNBlockConfig, convnext_tiny
from torchvision.models.convnext import ConvNeXt as TorchvisionConvNeXt

from convnext_backbone import checkpoints
from convnext_backbone.backbone.archs import ARCHS
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints.converting import convert
from convnext_backbone.checkpoints.families import parse
from convnext_backbone.checkpoints.reference import CheckpointRef

SHRUNK = dict(depths=(2, 1, 3, 1), channels=(8, 16, 24, 32))
ARCH = {'shrunk': SHRUNK, 'tiny': 'tiny'}
SIZES = [(64, 96), (128, 64)]


def shake(model: nn.Module) -> nn.Module:
    """Give every weight a value that matters: layer scale and GRN start near 0."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            around = 1 if parameter.ndim == 1 else 0
            nn.init.normal_(parameter, around, 0.2)
    return model.eval()


def shape_of(arch: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    table = ARCHS.get(arch) or ARCH[arch]
    return table['depths'], table['channels']


def timm_model(arch: str, v2: bool, **kwargs) -> nn.Module:
    depths, dims = shape_of(arch)
    if v2:
        kwargs = dict(use_grn=True, ls_init_value=None, **kwargs)
    return shake(TimmConvNeXt(depths=depths, dims=dims, num_classes=5, **kwargs))


def timm_features(model: nn.Module, x: Tensor) -> list[Tensor]:
    x, features = model.stem(x), []
    for stage in model.stages:
        x = stage(x)
        features.append(x)
    return features


def torchvision_model(arch: str) -> nn.Module:
    if arch == 'tiny':
        return shake(convnext_tiny(num_classes=5))
    depths, dims = shape_of(arch)
    outs = (*dims[1:], None)
    settings = [CNBlockConfig(*item) for item in zip(dims, outs, depths, strict=True)]
    return shake(TorchvisionConvNeXt(settings, num_classes=5))


def torchvision_features(model: nn.Module, x: Tensor) -> list[Tensor]:
    features = []
    for i, part in enumerate(model.features):
        x = part(x)
        if i % 2:
            features.append(x)
    return features


def hf_model(arch: str, v2: bool, backbone: bool = False) -> nn.Module:
    transformers = pytest.importorskip('transformers')
    depths, dims = shape_of(arch)
    name = 'ConvNextV2' if v2 else 'ConvNext'
    config = getattr(transformers, f'{name}Config')(
        depths=list(depths),
        hidden_sizes=list(dims),
        num_labels=5,
        out_features=['stage1', 'stage2', 'stage3', 'stage4'],
    )
    kind = 'Backbone' if backbone else 'ForImageClassification'
    return shake(getattr(transformers, f'{name}{kind}')(config))


def hf_features(model: nn.Module, x: Tensor) -> list[Tensor]:
    if hasattr(model, 'classifier'):
        return list(model(x, output_hidden_states=True).hidden_states[1:])
    return list(model(x).feature_maps)


def meta_state(model: nn.Module) -> dict[str, Tensor]:
    """Meta's names for timm's weights."""
    renamed = {}
    for key, value in model.state_dict().items():
        key = re.sub(r'^stem\.', 'downsample_layers.0.', key)
        key = re.sub(r'stages\.(\d)\.downsample', r'downsample_layers.\1', key)
        key = key.replace('.blocks.', '.').replace('conv_dw', 'dwconv')
        key = key.replace('mlp.fc', 'pwconv')
        key = key.replace('mlp.grn.weight', 'grn.gamma')
        key = key.replace('mlp.grn.bias', 'grn.beta')
        key = key.replace('head.norm', 'norm').replace('head.fc', 'head')
        renamed[key] = value[None, None, None] if '.grn.' in key else value
    return renamed


def mmpretrain_state(model: nn.Module) -> dict[str, Tensor]:
    """Names of mmpretrain for timm's weights."""
    renamed = {}
    for key, value in meta_state(model).items():
        key = key.replace('dwconv', 'depthwise_conv').replace(
            'pwconv', 'pointwise_conv'
        )
        if key.startswith('head.'):
            key = key.replace('head.', 'head.fc.')
        else:
            key = 'backbone.' + re.sub(r'^norm\.', 'norm3.', key)
        renamed[key] = value.flatten() if '.grn.' in key else value
    return renamed


def fcmae_state(model: nn.Module) -> dict[str, Tensor]:
    """The names and layouts of MinkowskiEngine's layers for timm's weights."""
    renamed = {}
    for key, value in meta_state(model).items():
        if re.match(r'(norm|head)\.', key):
            continue
        stem = key.startswith('downsample_layers.0.')
        conv = 'dwconv' in key or re.match(r'downsample_layers\.\d\.1', key)
        if stem:
            pass
        elif conv and key.endswith('weight'):
            key = key.replace('weight', 'kernel')
            # Columns before rows: (out, in, y, x) -> (x * k + y, in, out).
            value = value.permute(3, 2, 1, 0).flatten(0, 1)
            value = value[:, 0] if 'dwconv' in key else value
        elif '.norm.' in key or re.match(r'downsample_layers\.\d\.0', key):
            key = re.sub(r'(weight|bias)$', r'ln.\1', key)
        elif '.pwconv' in key:
            key = re.sub(r'(weight|bias)$', r'linear.\1', key)
        elif '.grn.' in key:
            value = value.reshape(1, -1)
        if conv and not stem and key.endswith('bias'):
            value = value[None]
        renamed[f'encoder.{key}'] = value
    renamed['mask_token'] = torch.zeros(1, 4, 1, 1)
    renamed['decoder.0.dwconv.weight'] = torch.zeros(4, 1, 7, 7)
    return renamed


def families(arch: str) -> dict[str, tuple]:
    """Each family's name -> state dict, the model that has its features, V2."""
    made = {}
    for v2 in (False, True):
        version = 'v2' if v2 else 'v1'
        model = timm_model(arch, v2)
        timm_case = (lambda x, m=model: timm_features(m, x), v2)
        made[f'timm {version}'] = (model.state_dict(), *timm_case)
        made[f'meta {version}'] = (meta_state(model), *timm_case)
        made[f'mmpretrain {version}'] = (mmpretrain_state(model), *timm_case)
        if v2:
            made['fcmae v2'] = (fcmae_state(model), *timm_case)
        if arch == 'shrunk':
            conv = timm_model(arch, v2, conv_mlp=True)
            features = (lambda x, m=conv: timm_features(m, x), v2)
            made[f'timm {version} conv_mlp'] = (conv.state_dict(), *features)
        for backbone in (False, True):
            model = hf_model(arch, v2, backbone)
            name = f'hf {version}{" backbone" if backbone else ""}'
            features = (lambda x, m=model: hf_features(m, x), v2)
            made[name] = (model.state_dict(), *features)
    model = torchvision_model(arch)
    features = (lambda x, m=model: torchvision_features(m, x), False)
    made['torchvision v1'] = (model.state_dict(), *features)
    return made


@pytest.fixture(scope='module')
def shrunk():
    return families('shrunk')


@pytest.fixture(scope='module')
def tiny():
    return families('tiny')


NAMES = [
    *(f'{f} v{v}' for f in ('timm', 'meta', 'mmpretrain', 'hf') for v in (1, 2)),
    *('hf v1 backbone', 'hf v2 backbone', 'fcmae v2', 'torchvision v1'),
]
CONV_MLP = ['timm v1 conv_mlp', 'timm v2 conv_mlp']
QUICK = ('timm v1', 'hf v2')  # of the full-sized models; the others are slow
FULL_SIZED = [
    pytest.param('tiny', name, marks=[pytest.mark.slow] * (name not in QUICK))
    for name in NAMES
]


@pytest.mark.parametrize(
    ('arch', 'name'),
    [*(('shrunk', name) for name in NAMES + CONV_MLP), *FULL_SIZED],
)
def test_features_are_those_of_the_library(request, tmp_path, arch, name):
    state, features, v2 = request.getfixturevalue(arch)[name]
    torch.save(state, tmp_path / 'weights.pth')
    model = ConvNeXt(arch=ARCH[arch], use_grn=v2).eval()
    report = checkpoints.load(model, str(tmp_path / 'weights.pth'))
    assert report.family == name.split()[0]
    assert not report.unexpected
    with_norms = 'backbone' in name
    assert len(report.new) == (0 if with_norms else 8)
    for size in SIZES:
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            ours, theirs = model(x), features(x)
        assert len(theirs) == 4
        for a, b in zip(ours, theirs, strict=True):
            if not with_norms:  # ours emits through a norm that is new
                b = F.layer_norm(b.movedim(1, 3), b.shape[1:2], eps=1e-6).movedim(3, 1)
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_timm_reads_metas_names_as_we_do():
    # timm's own conversion of Meta's files confirms the names used above.
    for v2 in (False, True):
        model = timm_model('shrunk', v2)
        theirs = checkpoint_filter_fn({'model': meta_state(model)}, model)
        assert theirs.keys() == model.state_dict().keys()
        assert all(torch.equal(theirs[k], v) for k, v in model.state_dict().items())


TARGETS = {'timm', 'meta', 'mmpretrain', 'hf', 'torchvision'}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize(
    ('arch', 'name'),
    [
        (arch, name)
        for arch, names in (
            ('shrunk', NAMES + CONV_MLP),
            ('tiny', ['timm v2', 'hf v1']),
        )
        for name in names
        if name.split()[0] in TARGETS
    ],
)
def test_conversion_to_ours_and_back_is_bit_identical(
    request, tmp_path, arch, name, suffix
):
    state = request.getfixturevalue(arch)[name][0]
    torch.save(state, tmp_path / 'source.pth')
    ours, back = tmp_path / f'ours{suffix}', tmp_path / f'back{suffix}'
    assert convert(str(tmp_path / 'source.pth'), ours, 'ours') == (len(state), [])
    assert convert(str(ours), back, name.split()[0]) == (len(state), [])
    result = checkpoints.read_checkpoint(str(back)).state
    assert result.keys() == state.keys()
    assert all(torch.equal(result[key], value) for key, value in state.items())


@pytest.mark.parametrize('to', ['timm', 'hf', 'torchvision', 'mmpretrain', 'meta'])
def test_each_library_loads_what_is_written_for_it(tmp_path, shrunk, to):
    torch.save(shrunk['meta v1'][0], tmp_path / 'meta.pth')
    written = tmp_path / f'{to}.safetensors'
    convert(str(tmp_path / 'meta.pth'), written, to)
    state = checkpoints.read_checkpoint(str(written)).content
    model = {
        'timm': lambda: timm_model('shrunk', False),
        'hf': lambda: hf_model('shrunk', False),
        'torchvision': lambda: torchvision_model('shrunk'),
    }.get(to)
    if model:
        result = model()
        result.load_state_dict(state)  # strict: every name and shape
        x = torch.randn(1, 3, 64, 64)
        logits = result(x).logits if to == 'hf' else result(x)
        expected = timm_model('shrunk', False)(x)
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    else:
        expected = shrunk[f'{to} v1'][0]
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[key], value) for key, value in expected.items())


def test_small_archs_are_written_as_timm_builds_them(tmp_path):
    for name in ('convnext_atto', 'convnextv2_pico', 'convnext_nano'):
        model = timm.create_model(name)
        torch.save(meta_state(model), tmp_path / 'meta.pth')
        convert(str(tmp_path / 'meta.pth'), tmp_path / 'timm.pth', 'timm', force=True)
        timm.create_model(name, checkpoint_path=str(tmp_path / 'timm.pth'))
        state = checkpoints.read_checkpoint(str(tmp_path / 'timm.pth')).content
        assert {k: v.shape for k, v in state.items()} == {
            k: v.shape for k, v in model.state_dict().items()
        }


WRAPPED = {
    'module.': lambda s: {f'module.{k}': v for k, v in s.items()},
    'visual.trunk.': lambda s: {
        **{f'visual.trunk.{k}': v for k, v in s.items()},
        'text.weight': torch.zeros(2),
    },
    'state_dict': lambda s: {'state_dict': s, 'epoch': 3},
    'model': lambda s: {'model': {f'module.{k}': v for k, v in s.items()}},
    'model_ema': lambda s: {'model_ema': s},
    'teacher': lambda s: {'teacher': {f'backbone.{k}': v for k, v in s.items()}},
    '_orig_mod.': lambda s: {'state_dict': {f'_orig_mod.{k}': v for k, v in s.items()}},
}


@pytest.mark.parametrize('wrapper', WRAPPED)
@pytest.mark.parametrize('name', ['timm v1', 'hf v2', 'torchvision v1', 'meta v1'])
def test_wrapped_ones_load(tmp_path, shrunk, name, wrapper):
    state, _, v2 = shrunk[name]
    torch.save(WRAPPED[wrapper](state), tmp_path / 'wrapped.pth')
    model, plain = (ConvNeXt(arch=SHRUNK, use_grn=v2) for _ in range(2))
    report = checkpoints.load(model, str(tmp_path / 'wrapped.pth'))
    torch.save(state, tmp_path / 'plain.pth')
    expected = checkpoints.load(plain, str(tmp_path / 'plain.pth'))
    assert report.family == name.split()[0]
    assert report.loaded == expected.loaded
    for key in report.loaded:
        assert torch.equal(model.state_dict()[key], plain.state_dict()[key])


def test_averaged_weights_are_taken_only_when_asked_for(tmp_path, shrunk):
    state = shrunk['meta v1'][0]
    averaged = {k: v + 1 for k, v in state.items()}
    path = str(tmp_path / 'run.pth')
    torch.save({'model': state, 'model_ema': averaged}, path)
    model = ConvNeXt(arch=SHRUNK)
    for source, expected in ((path, state), (f'{path}#model_ema', averaged)):
        report = checkpoints.load(model, source)
        key = 'stages.2.1.pwconv1.weight'
        assert torch.equal(model.state_dict()[key], expected[key])
        assert ('taken from model, model_ema left aside' in str(report)) == (
            source == path
        )
    both = {f'student.{k}': v for k, v in state.items()}
    both |= {f'teacher.{k}': v for k, v in averaged.items()}
    torch.save(both, path)
    for source, expected in ((path, state), (f'{path}#teacher', averaged)):
        checkpoints.load(model, source)
        assert torch.equal(model.state_dict()[key], expected[key])


def test_two_averaged_ones_are_a_question(tmp_path, shrunk):
    state = shrunk['meta v1'][0]
    path = str(tmp_path / 'run.pth')
    torch.save({'model_ema': state, 'teacher': state}, path)
    with pytest.raises(ValueError, match=r'say which one to take, as in .*#model_ema'):
        checkpoints.load(ConvNeXt(arch=SHRUNK), path)


def test_the_arch_of_every_published_size_is_recognised():
    for name, arch in ARCHS.items():
        for v2 in (False, True):
            with torch.device('meta'):
                state = ConvNeXt(arch=name, use_grn=v2).state_dict()
            weights = parse(state, CheckpointRef.parse('x.pth'))
            assert (weights.arch, weights.version == 'V2') == (name, v2)
            assert weights.channels == arch['channels']
