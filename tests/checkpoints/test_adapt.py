"""Weights are fitted to other channels, kernels and dtypes without a new meaning."""

import pytest
import timm
import torch
from support.checkpoint_files import ARCH, assert_untouched, classifier, save
from torch import nn

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints.adapt import adapt_channels, adapt_kernel
from convnext_backbone.foundation.errors import UserError

CHANNELS = (8, 16, 24, 32)


@pytest.fixture
def backbone() -> ConvNeXt:
    return ConvNeXt(arch=ARCH)


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
    note = 'depthwise kernels grown with zeros from 7 to 9 pixels'
    assert list(report.adapted.values()) == [note] * 5
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(seven.eval()(x), nine.eval()(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('given', 'wanted'), [(9, 7), (7, 3), (31, 7)])
def test_kernels_are_cut_on_request_only(tmp_path, given, wanted):
    state = classifier(kernel_size=given)
    source = save(tmp_path / 'a.pth', state)
    model = ConvNeXt(arch=ARCH, kernel_size=wanted)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    cure = rf"set kernel_size={given} in the backbone, or .* adapt='kernel'"
    for strict in ('auto', True):
        with pytest.raises(UserError, match=cure):
            checkpoints.load(model, source, strict=strict)
    assert_untouched(model, before)
    report = checkpoints.load(model, source, strict=False)
    assert report.new['stages.0.0.dwconv.weight'] == 'of another shape in the file'
    report = checkpoints.load(model, source, adapt='kernel')
    note = f'depthwise kernels cut from {given} to {wanted} pixels'
    assert report.adapted['stages.0.0.dwconv.weight'] == note
    margin = (given - wanted) // 2
    key = 'stages.2.1.dwconv.weight'
    centre = state[key][..., margin : given - margin, margin : given - margin]
    assert torch.equal(model.state_dict()[key], centre)


def test_kernels_are_cut_by_an_init_cfg_that_asks_for_it(tmp_path):
    source = save(tmp_path / 'a.pth', classifier(kernel_size=9))
    init_cfg = dict(type='convnext_backbone.Checkpoint', source=source)
    with pytest.raises(UserError, match='set kernel_size=9'):
        ConvNeXt(arch=ARCH, init_cfg=init_cfg).init_weights()
    model = ConvNeXt(arch=ARCH, init_cfg=dict(init_cfg, adapt='kernel'))
    model.init_weights()
    assert 'kernels cut from 9 to 7' in str(model.load_report)
    with pytest.raises(UserError, match="adapt='kernels': expected None or 'kernel'"):
        checkpoints.load(model, source, adapt='kernels')


def test_kernels_of_timm_that_differ_by_stage(tmp_path):
    theirs = timm.create_model('test_convnext3', depths=(1, 1, 2, 1), dims=CHANNELS)
    source = save(tmp_path / 'a.pth', theirs.state_dict())  # kernels of 7, 5, 5, 3
    options = dict(act='silu', norm_eps=1e-5)
    model = ConvNeXt(arch=ARCH, **options).eval()
    assert len(checkpoints.load(model, source).adapted) == 4
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.eval().forward_features(x).movedim(1, 3)
        expected = nn.functional.layer_norm(expected, (32,), eps=1e-5).movedim(3, 1)
        torch.testing.assert_close(model(x)[3], expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match='set kernel_size=7 in the backbone'):
        checkpoints.load(ConvNeXt(arch=ARCH, kernel_size=3, **options), source)


def test_smaller_kernels_are_the_centre():
    weight = torch.arange(49.0).reshape(1, 1, 7, 7)
    assert torch.equal(adapt_kernel(weight, 3), weight[:, :, 2:5, 2:5])


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


def test_half_precision_weights_arrive_in_full(tmp_path, backbone):
    state = {k: v.half() for k, v in classifier().items()}
    checkpoints.load(backbone, save(tmp_path / 'a.pth', state))
    weight = backbone.state_dict()['stages.0.0.pwconv1.weight']
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state['stages.0.0.pwconv1.weight'].float())
