import pytest
import timm
import torch
from timm.models.convnext import ConvNeXt as TimmConvNeXt
from torch import nn

from convnext_backbone.backbone.archs import ARCHS
from convnext_backbone.backbone.block import GRN, Block
from convnext_backbone.backbone.convnext import ConvNeXt

SMALL = dict(depths=(2, 1, 3, 1), channels=(8, 16, 24, 32))
V2_NAMES = {
    name: f'convnextv2_{name}'
    for name in ('atto', 'femto', 'pico', 'nano', 'tiny', 'base', 'large', 'huge')
}
V1_NAMES = {name: f'convnext_{name}' for name in ARCHS if name != 'huge'}


def timm_to_ours(state: dict) -> dict:
    """Rename timm's weights (written here anew, so that a wrong table shows)."""
    renamed = {}
    for key, value in state.items():
        if key.startswith(('head.', 'norm_pre.')):
            continue
        key = key.replace('stem.', 'downsample_layers.0.')
        for i in range(4):
            key = key.replace(f'stages.{i}.downsample.', f'downsample_layers.{i}.')
            key = key.replace(f'stages.{i}.blocks.', f'stages.{i}.')
        key = key.replace('conv_dw', 'dwconv').replace('mlp.fc1', 'pwconv1')
        key = key.replace('mlp.fc2', 'pwconv2').replace('mlp.grn.weight', 'grn.gamma')
        key = key.replace('mlp.grn.bias', 'grn.beta')
        if '.grn.' in key:
            value = value.reshape(1, 1, 1, -1)
        renamed[key] = value
    return renamed


def randomise(model: nn.Module) -> None:
    """Give every weight a value that matters: none is left at 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = 0.5 * parameter.data + 0.1 * noise


def count(model: nn.Module, without: tuple[str, ...] = ()) -> int:
    return sum(
        p.numel() for n, p in model.named_parameters() if not n.startswith(without)
    )


@pytest.mark.parametrize(
    ('arch', 'name', 'use_grn'),
    [(a, n, False) for a, n in V1_NAMES.items()]
    + [(a, n, True) for a, n in V2_NAMES.items()],
)
def test_parameter_count_equals_timm(arch, name, use_grn):
    with torch.device('meta'):
        theirs = timm.create_model(name)
        ours = ConvNeXt(arch, use_grn=use_grn)
    assert count(ours, without=('norm',)) == count(theirs, without=('head.',))
    assert ours.depths == tuple(len(s.blocks) for s in theirs.stages)


def test_parameter_count_of_archs_that_timm_has_in_the_other_version_only():
    for name, use_grn in (('huge', False), ('small', True), ('xlarge', True)):
        arch = ARCHS[name]
        with torch.device('meta'):
            theirs = timm.models.convnext.ConvNeXt(
                depths=arch['depths'],
                dims=arch['channels'],
                use_grn=use_grn,
                ls_init_value=None if use_grn else 1.0,
            )
            ours = ConvNeXt(name, use_grn=use_grn)
        assert count(ours, without=('norm',)) == count(theirs, without=('head.',))


@pytest.mark.parametrize('use_grn', [False, True])
@pytest.mark.parametrize('size', [(64, 96), (75, 101)])
def test_features_equal_timm(use_grn, size):
    theirs = timm.models.convnext.ConvNeXt(
        depths=SMALL['depths'],
        dims=SMALL['channels'],
        use_grn=use_grn,
        ls_init_value=None if use_grn else 1.0,
        num_classes=0,
    ).eval()
    randomise(theirs)
    ours = ConvNeXt(SMALL, use_grn=use_grn).eval()
    missing, unexpected = ours.load_state_dict(
        timm_to_ours(theirs.state_dict()), strict=False
    )
    assert not unexpected
    assert all(key.startswith('norm') for key in missing)

    x = torch.randn(2, 3, *size)
    expected = []
    y = theirs.stem(x)
    for stage in theirs.stages:
        y = stage(y)
        expected.append(y)
    with torch.no_grad():
        for i, out in enumerate(ours(x)):
            norm = nn.functional.layer_norm(
                expected[i].permute(0, 2, 3, 1), out.shape[1:2], eps=1e-6
            ).permute(0, 3, 1, 2)
            scale = size[0] // (4 * 2**i), size[1] // (4 * 2**i)
            assert out.shape[2:] == norm.shape[2:] == scale
            torch.testing.assert_close(out, norm, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('arch', 'name', 'use_grn'),
    [('tiny', 'convnext_tiny', False), ('tiny', 'convnextv2_tiny', True)],
)
def test_features_of_tiny_equal_timm(arch, name, use_grn):
    theirs = timm.create_model(name, features_only=True).eval()
    randomise(theirs)
    ours = ConvNeXt(arch, use_grn=use_grn).eval()
    state = {
        key.replace('stem_', 'stem.').replace('stages_', 'stages.'): value
        for key, value in theirs.state_dict().items()
    }
    ours.load_state_dict(timm_to_ours(state), strict=False)
    for i in range(4):
        setattr(ours, f'norm{i}', nn.Identity())
    x = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        for out, expected in zip(ours(x), theirs(x), strict=True):
            error = (out - expected).abs().max() / expected.abs().max()
            assert error < 1e-5


def plain_forward(block: Block, x: torch.Tensor) -> torch.Tensor:
    """The block as the papers write it, layer by layer."""
    y = block.dwconv(x).permute(0, 2, 3, 1)
    y = nn.functional.gelu(block.pwconv1(block.norm(y)))
    if block.grn is not None:
        g = y.pow(2).sum(dim=(1, 2), keepdim=True).sqrt()
        n = g / (g.mean(dim=-1, keepdim=True) + 1e-6)
        y = block.grn.gamma * (y * n) + block.grn.beta + y
    y = block.pwconv2(y)
    if block.gamma is not None:
        y = block.gamma * y
    return y.permute(0, 3, 1, 2)


@pytest.mark.parametrize('use_grn', [False, True])
def test_block_formula_equals_the_papers(use_grn):
    block = Block(8, use_grn=use_grn, layer_scale_init_value=0 if use_grn else 1)
    randomise(block)
    x = torch.randn(2, 8, 9, 11)
    torch.testing.assert_close(block.formula(x), x + plain_forward(block, x))


def test_with_cp_is_checked_and_selective_by_default():
    levels = [blocks[0].with_cp for blocks in ConvNeXt(SMALL).stages]
    assert levels == ['hidden', 'selective', 'selective', 'selective']
    assert ConvNeXt(SMALL, with_cp=False).stages[0][0].with_cp is False
    with pytest.raises(ValueError, match="with_cp='all': expected one of False, 'sel"):
        ConvNeXt(SMALL, with_cp='all')


def test_drop_path_keeps_or_drops_whole_samples_and_scales_the_rest():
    block = Block(4, drop_path_rate=0.25).train()
    x = torch.randn(4000, 4, 3, 3)
    with torch.no_grad():
        out = block(x)
        branch = plain_forward(block, x)
    kept = (out - x).flatten(1).abs().amax(1) > 0
    assert torch.equal(out[~kept], x[~kept])
    torch.testing.assert_close(out[kept], (x + branch / 0.75)[kept])
    # 4000 draws: four standard deviations of the share are 0.027.
    assert abs(kept.float().mean().item() - 0.75) < 0.027


def test_drop_path_with_nothing_kept_still_gives_zero_gradients():
    block = Block(4, drop_path_rate=1 - 1e-12).train()
    x = torch.randn(2, 4, 8, 8, requires_grad=True)
    block(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_drop_path_rises_linearly_over_all_blocks():
    model = ConvNeXt(SMALL, drop_path_rate=0.6)
    rates = [block.drop_path_rate for stage in model.stages for block in stage]
    assert rates == pytest.approx([0.1 * i for i in range(7)])


def test_drop_path_is_off_in_eval():
    model = ConvNeXt(SMALL, drop_path_rate=0.9).eval()
    x = torch.randn(1, 3, 64, 64)
    for a, b in zip(model(x), model(x), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('use_grn', [False, True])
def test_bf16_autocast_stays_close_to_fp32(use_grn):
    model = ConvNeXt(SMALL, use_grn=use_grn).train()
    x = torch.randn(2, 3, 64, 64)
    expected = model(x)
    with torch.autocast('cpu', torch.bfloat16):
        outs = model(x)
    for out, reference in zip(outs, expected, strict=True):
        assert (out.float() - reference).abs().mean() < 0.05 * reference.abs().mean()
    sum(out.float().mean() for out in outs).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_grn_does_not_overflow_in_half_precision():
    grn = GRN(4)
    nn.init.ones_(grn.gamma)
    x = torch.full((1, 64, 64, 4), 300.0)
    x[..., 1:] = 30.0
    out = grn.half()(x.half())
    torch.testing.assert_close(out.float(), grn.float()(x), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize('drop_path_rate', [0.0, 0.5])
def test_activations_and_outputs_are_channels_last(drop_path_rate):
    torch.manual_seed(0)
    model = ConvNeXt(SMALL, drop_path_rate=drop_path_rate).train()
    seen = []

    def note(module, args, out):
        seen.append(out.is_contiguous(memory_format=torch.channels_last))

    for stage in model.stages:
        for block in stage:
            block.register_forward_hook(note)
    outs = model(torch.randn(3, 3, 64, 64))
    assert len(seen) == 7
    assert all(seen)
    assert all(o.is_contiguous(memory_format=torch.channels_last) for o in outs)


@pytest.mark.parametrize('autocast', [False, True])
def test_small_layer_scale_survives_fp16(autocast):
    torch.manual_seed(0)
    block = Block(8, layer_scale_init_value=1e-6)
    x = torch.randn(2, 8, 8, 8)
    with torch.no_grad():
        expected = block.branch(x)
        if autocast:
            with torch.autocast('cpu', torch.float16):
                out = block.branch(x)
        else:
            out = block.half().branch(x.half())
    # Folded into the weights, gamma would have made zeros of nearly all of them.
    assert (out.float() - expected).abs().mean() < 0.1 * expected.abs().mean()


@pytest.mark.parametrize(
    'neck',
    [
        dict(type='FPN', num_outs=5),
        dict(type='PAFPN', num_outs=5),
        dict(type='ChannelMapper', num_outs=5),
        dict(type='NASFPN', num_outs=5, stack_times=2, norm_cfg=dict(type='BN')),
    ],
    ids=lambda neck: neck['type'],
)
def test_outputs_feed_the_necks_of_mmdet(neck):
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    backbone = ConvNeXt(SMALL)
    neck = MODELS.build(
        dict(neck, in_channels=list(backbone.out_channels), out_channels=16)
    )
    outs = neck(backbone(torch.randn(1, 3, 128, 128)))
    assert [o.shape[1:] for o in outs[:4]] == [(16, s, s) for s in (32, 16, 8, 4)]
    sum(o.mean() for o in outs).backward()
    assert backbone.downsample_layers[0][0].weight.grad.any()


def test_out_indices_choose_maps_norms_and_depth():
    model = ConvNeXt('atto', out_indices=(0, 2))
    assert model.out_channels == (40, 160)
    assert model.depths == (2, 2, 6, 2)
    assert model.channels == (40, 80, 160, 320)
    names = {n.split('.')[0] for n, _ in model.named_parameters()}
    assert names == {'downsample_layers', 'stages', 'norm0', 'norm2'}
    assert len(model.stages) == 3
    outs = model(torch.randn(1, 3, 32, 48))
    assert [tuple(o.shape) for o in outs] == [(1, 40, 8, 12), (1, 160, 2, 3)]
    sum(o.mean() for o in outs).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('stages', [1, 2, 5])
def test_any_number_of_stages(stages):
    arch = dict(depths=[1] * stages, channels=[8 * (i + 1) for i in range(stages)])
    model = ConvNeXt(arch, out_indices=range(stages))
    outs = model(torch.randn(1, 3, 64, 128))
    strides = [4 * 2**i for i in range(stages)]
    assert [o.shape[2:] for o in outs] == [(64 // s, 128 // s) for s in strides]


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (63, 32)])
def test_sizes_from_one_stride_on(size):
    outs = ConvNeXt(SMALL)(torch.randn(1, 3, *size))
    assert outs[-1].shape[2:] == (size[0] // 32, size[1] // 32)
    assert all(o.isfinite().all() for o in outs)


@pytest.mark.parametrize('use_grn', [False, True])
@pytest.mark.parametrize(
    ('act', 'norm_eps'),
    [('gelu_tanh', 1e-6), ('silu', 1e-5), ('relu', 1e-2), ('quick_gelu', 1e-3)],
)
def test_features_with_another_activation_and_eps_equal_timms(use_grn, act, norm_eps):
    ours = ConvNeXt(SMALL, use_grn=use_grn, act=act, norm_eps=norm_eps).eval()
    theirs = TimmConvNeXt(
        depths=SMALL['depths'],
        dims=SMALL['channels'],
        use_grn=use_grn,
        ls_init_value=None if use_grn else 1.0,
        act_layer=act,
        norm_eps=norm_eps,
    ).eval()
    randomise(theirs)
    ours.load_state_dict(timm_to_ours(theirs.state_dict()), strict=False)
    x = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        maps, y = ours(x), theirs.stem(x)
        for i, stage in enumerate(theirs.stages):
            y = stage(y)
            width = y.shape[1:2]
            normed = nn.functional.layer_norm(y.movedim(1, 3), width, eps=norm_eps)
            torch.testing.assert_close(
                maps[i], normed.movedim(3, 1), rtol=1e-5, atol=1e-5
            )


def test_in_channels_and_kernel_size():
    model = ConvNeXt(SMALL, in_channels=5, kernel_size=3)
    assert model.downsample_layers[0][0].weight.shape == (8, 5, 4, 4)
    assert model.stages[0][0].dwconv.weight.shape == (8, 1, 3, 3)
    assert model(torch.randn(1, 5, 32, 32))[0].shape == (1, 8, 8, 8)


def test_parameter_names_are_metas():
    block = {'dwconv', 'norm', 'pwconv1', 'pwconv2'}
    v1 = ConvNeXt(SMALL).stages[1][0].state_dict()
    v2 = ConvNeXt(SMALL, use_grn=True).stages[1][0].state_dict()
    weights = {f'{n}.{p}' for n in block for p in ('weight', 'bias')}
    assert set(v1) == weights | {'gamma'}
    assert set(v2) == weights | {'grn.gamma', 'grn.beta'}
    assert v2['grn.gamma'].shape == (1, 1, 1, 64)


def frozen_names(model: nn.Module) -> set[str]:
    return {n for n, p in model.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize(
    ('frozen_stages', 'prefixes'),
    [
        (-1, ()),
        (0, ('downsample_layers.0',)),
        (1, ('downsample_layers.0', 'stages.0', 'norm0')),
        (
            2,
            (
                'downsample_layers.0',
                'downsample_layers.1',
                'stages.0',
                'stages.1',
                'norm0',
            ),
        ),
        (4, ('downsample_layers', 'stages', 'norm')),
    ],
)
def test_frozen_stages(frozen_stages, prefixes):
    model = ConvNeXt(
        SMALL, frozen_stages=frozen_stages, drop_path_rate=0.5, out_indices=(0, 2, 3)
    )
    names = {n for n, _ in model.named_parameters()}
    expected = {n for n in names if prefixes and n.startswith(prefixes)}
    assert frozen_names(model) == expected
    model.requires_grad_(True)
    assert model.train() is model
    assert frozen_names(model) == expected
    for name, module in model.named_modules():
        if isinstance(module, Block):
            assert module.training != f'{name}.'.startswith(
                tuple(f'{p}.' for p in prefixes) or ('-',)
            )
    assert model.train(False) is model
    assert not any(m.training for m in model.modules())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(arch='tinny'), "arch='tinny' is unknown: expected one of atto"),
        (dict(arch=dict(depths=(1, 2))), 'exactly the keys depths and channels'),
        (dict(arch=dict(depths=(1, 2), channels=(8,))), '2 depths and 1 channels'),
        (dict(arch=dict(depths=(0,), channels=(8,))), 'must be positive integers'),
        (dict(arch=dict(depths=3, channels=96)), 'must be sequences'),
        (dict(drop_path_rate='0.4'), r'probability in \[0, 1\)'),
        (dict(layer_scale_init_value=None), 'or 0 for no layer scale'),
        (dict(out_indices=(0, 4)), r'from 0 to 3, such as \(0, 1, 2, 3\)'),
        (dict(out_indices=(2, 1)), 'ascending stage numbers'),
        (dict(out_indices=()), 'ascending stage numbers'),
        (dict(out_indices=3), 'ascending stage numbers'),
        (dict(frozen_stages=5), 'from -1 .* to 4'),
        (dict(frozen_stages=-2), 'from -1 .* to 4'),
        (dict(drop_path_rate=1.0), r'probability in \[0, 1\)'),
        (dict(drop_path_rate=-0.1), r'probability in \[0, 1\)'),
        (dict(kernel_size=6), 'positive odd integer'),
        (dict(act='mish'), "act='mish': expected one of gelu, gelu_tanh, silu, relu"),
        (dict(act=None), 'act=None: expected one of gelu'),
        (dict(norm_eps=0), 'norm_eps=0: expected a positive number'),
        (dict(norm_eps='1e-5'), "norm_eps='1e-5': expected a positive number"),
        (dict(in_channels=0), 'in_channels=0: expected a positive integer'),
        (dict(layer_scale_init_value=-1), 'or 0 for no layer scale'),
    ],
)
def test_wrong_arguments_say_what_is_right(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvNeXt(**arguments)


def test_an_input_below_the_stride_says_so():
    with pytest.raises(ValueError, match='at least 32 pixels'):
        ConvNeXt(SMALL)(torch.randn(1, 3, 31, 64))


def test_layer_scale_of_zero_leaves_gamma_out():
    model = ConvNeXt(SMALL, layer_scale_init_value=0)
    assert not any('gamma' in n for n, _ in model.named_parameters())
