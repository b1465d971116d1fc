import pytest
import torch
from timm.layers.activations import QuickGELU
from torch import nn
from torch.utils.checkpoint import checkpoint

from convnext_backbone.backbone.block import ACTIVATIONS, KEPT, Block, rows
from convnext_backbone.backbone.block.function import residual_block
from convnext_backbone.backbone.convnext import ConvNeXt

SMALL = dict(depths=(2, 1, 3, 1), channels=(8, 16, 24, 32))
LEVELS = list(KEPT)
ACTS = list(ACTIVATIONS)


@pytest.fixture
def small_chunks(monkeypatch):
    """Several chunks a sample, the last of another size, and several bands."""
    monkeypatch.setitem(rows.CHUNK_BYTES, 'cpu', 4000)
    monkeypatch.setattr('convnext_backbone.backbone.block.depthwise.BAND_POSITIONS', 30)


def make_block(use_grn: bool, with_cp, **options) -> Block:
    scale = 0 if use_grn else 1
    block = Block(
        8, use_grn=use_grn, layer_scale_init_value=scale, with_cp=with_cp, **options
    )
    torch.manual_seed(0)
    for parameter in block.parameters():
        nn.init.normal_(parameter, 0.5, 0.3)
    return block


def gradients(block: Block, function, x, probe, seed=3):
    torch.manual_seed(seed)
    out = function(x)
    return out, torch.autograd.grad((out * probe).sum(), [x, *block.parameters()])


def equal_formula(block: Block, x: torch.Tensor, **tolerance) -> None:
    probe = torch.randn_like(x)
    out, grads = gradients(block, block, x, probe)
    expected, plain = gradients(block, block.formula, x, probe)
    torch.testing.assert_close(out, expected, **tolerance)
    for a, b in zip(grads, plain, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize('with_cp', LEVELS)
@pytest.mark.parametrize('use_grn', [False, True])
def test_gradients_equal_the_formula(small_chunks, use_grn, with_cp):
    block = make_block(use_grn, with_cp).double()
    equal_formula(block, torch.randn(2, 8, 9, 11).double().requires_grad_())


@pytest.mark.parametrize('use_grn', [False, True])
@pytest.mark.parametrize('seed', range(6))
def test_gradients_equal_the_formula_for_every_choice_of_samples(
    small_chunks, use_grn, seed
):
    block = make_block(use_grn, 'hidden', drop_path_rate=0.5).double().train()
    torch.manual_seed(seed)
    x = torch.randn(5, 8, 7, 6).double().requires_grad_()
    probe = torch.randn_like(x)
    out, grads = gradients(block, block, x, probe, seed)
    expected, plain = gradients(block, block.formula, x, probe, seed)
    torch.testing.assert_close(out, expected)
    for a, b in zip(grads, plain, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('with_cp', LEVELS)
@pytest.mark.parametrize('act', ACTS)
def test_every_activation_and_eps_gives_the_formulas_numbers(
    small_chunks, act, with_cp
):
    # GRN in half of them, so that each level and activation meets both.
    use_grn = (ACTS.index(act) + LEVELS.index(with_cp)) % 2 == 1
    block = make_block(use_grn, with_cp, act=act, norm_eps=0.1).double()
    equal_formula(block, torch.randn(2, 8, 9, 11).double().requires_grad_())
    other = make_block(use_grn, with_cp, act=act).double()
    x = torch.randn(1, 8, 5, 4).double()
    assert (other(x) - block(x)).abs().max() > 1e-3  # eps matters


@pytest.mark.parametrize('with_cp', LEVELS)
@pytest.mark.parametrize('act', ACTS)
def test_gradcheck_of_every_activation(small_chunks, act, with_cp):
    block = make_block(False, with_cp, act=act, norm_eps=1e-3).double()
    x = torch.randn(2, 8, 5, 4).double().requires_grad_()
    inputs = (x, *block.parameters())
    assert torch.autograd.gradcheck(
        lambda x, *parameters: block(x), inputs, fast_mode=True
    )


@pytest.mark.parametrize(
    ('act', 'layer'),
    [
        ('gelu', nn.GELU()),
        ('gelu_tanh', nn.GELU(approximate='tanh')),
        ('silu', nn.SiLU()),
        ('relu', nn.ReLU()),
        ('quick_gelu', QuickGELU()),
    ],
)
def test_activations_are_those_of_torch_and_timm(act, layer):
    x = torch.linspace(-20, 20, 401, dtype=torch.double, requires_grad=True)
    probe = torch.randn_like(x)
    expected = layer(x)
    (grad,) = torch.autograd.grad(expected, x, probe)
    assert torch.equal(ACTIVATIONS[act].apply(x), expected)
    ours = ACTIVATIONS[act].backward(probe.clone(), x.detach())
    torch.testing.assert_close(ours, grad)


@pytest.mark.parametrize('act', ACTS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_activations_under_autocast_are_those_of_fp32_but_for_rounding(act, dtype):
    block = make_block(False, 'selective', act=act)
    x = torch.randn(2, 8, 16, 16, requires_grad=True)
    probe = torch.randn_like(x)
    expected, plain = gradients(block, block.formula, x, probe)
    with torch.autocast('cpu', dtype):
        out, grads = gradients(block, block, x, probe)
    for a, b in zip([out, *grads], [expected, *plain], strict=True):
        assert (a - b).norm() < 0.03 * b.norm()


@pytest.mark.parametrize('with_cp', LEVELS)
@pytest.mark.parametrize('use_grn', [False, True])
def test_gradcheck(small_chunks, use_grn, with_cp):
    block = make_block(use_grn, with_cp).double()
    x = torch.randn(2, 8, 5, 4).double().requires_grad_()
    inputs = (x, *block.parameters())
    assert torch.autograd.gradcheck(
        lambda x, *parameters: block(x), inputs, fast_mode=True
    )


@pytest.mark.parametrize('use_grn', [False, True])
def test_fp32_gradients_of_a_model_equal_the_formula_to_1e_5(
    monkeypatch, small_chunks, use_grn
):
    torch.manual_seed(0)
    model = ConvNeXt(SMALL, use_grn=use_grn, drop_path_rate=0.4).train()
    for parameter in model.parameters():
        parameter.data = 0.5 * parameter.data + 0.1 * torch.randn_like(parameter)
    x = torch.randn(3, 3, 96, 64)

    def run() -> list[torch.Tensor]:
        torch.manual_seed(1)
        outs = model(x)
        torch.manual_seed(2)
        loss = sum((o * torch.randn_like(o)).sum() for o in outs)
        return [*outs, *torch.autograd.grad(loss, list(model.parameters()))]

    ours = run()
    monkeypatch.setattr(Block, 'forward', Block.formula)
    for a, b in zip(ours, run(), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_levels_change_no_output_and_no_gradient():
    x = torch.randn(3, 3, 64, 64)
    results = []
    for with_cp in LEVELS:
        torch.manual_seed(0)
        model = ConvNeXt(SMALL, drop_path_rate=0.5, with_cp=with_cp).train()
        torch.manual_seed(1)
        outs = model(x)
        sum(o.square().mean() for o in outs).backward()
        results.append([*outs, *(p.grad for p in model.parameters())])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('with_cp', 'sizes'), [(False, 11), ('selective', 6), ('hidden', 2), (True, 1)]
)
def test_levels_keep_what_they_say(with_cp, sizes):
    block = make_block(False, with_cp)
    x = torch.randn(1, 8, 64, 64)
    held = 0

    def pack(tensor):
        nonlocal held
        held += tensor.numel() if len(tensor) > 32 or tensor.dim() == 4 else 0
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        block(x)
    assert held / x.numel() == pytest.approx(sizes, rel=0.3 / sizes, abs=0.2)


@pytest.mark.parametrize('with_cp', LEVELS)
@pytest.mark.parametrize('use_grn', [False, True])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_gradients_are_those_of_fp32_but_for_rounding(use_grn, with_cp, dtype):
    block = make_block(use_grn, with_cp)
    x = torch.randn(2, 8, 16, 16, requires_grad=True)
    probe = torch.randn_like(x)
    expected, plain = gradients(block, block.formula, x, probe)
    with torch.autocast('cpu', dtype):
        out, grads = gradients(block, block, x, probe)
    assert out.dtype == torch.float32
    for a, b in zip([out, *grads], [expected, *plain], strict=True):
        assert a.dtype == b.dtype
        assert (a - b).norm() < 0.03 * b.norm()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
def test_v2_does_not_overflow_at_activations_of_1e4(dtype, autocast):
    block = make_block(True, 'selective')
    nn.init.normal_(block.pwconv2.weight, 0, 1e-3)
    nn.init.constant_(block.pwconv1.bias, 1e4)
    x = torch.randn(1, 8, 32, 32)
    expected = block(x)
    if autocast:
        with torch.autocast('cpu', dtype):
            out = block(x)
    else:
        out = block.to(dtype)(x.to(dtype))
    assert out.isfinite().all()
    assert (out.float() - expected).norm() < 0.02 * expected.norm()
    out.float().mean().backward()
    assert all(p.grad.isfinite().all() for p in block.parameters())


@pytest.mark.parametrize('autocast', [False, True])
def test_small_layer_scale_survives_fp16(autocast):
    torch.manual_seed(0)
    block = Block(8, layer_scale_init_value=1e-6)
    x = torch.zeros(2, 8, 8, 8, requires_grad=True)
    probe = 1024 * torch.randn(2, 8, 8, 8)  # as with a scaled loss
    expected, plain = gradients(block, block.formula, x, probe)
    if autocast:
        with torch.autocast('cpu', torch.float16):
            out, grads = gradients(block, block, x, probe)
    else:
        half = block.half()
        out, grads = gradients(half, half, x.half(), probe)
    # Folded into the weights, gamma would have made zeros of nearly all of them.
    for a, b in zip([out, *grads], [expected, *plain], strict=True):
        assert (a.float() - b).norm() <= 0.1 * b.norm()


def test_nothing_kept_and_no_gradient_wanted():
    block = make_block(False, 'selective', drop_path_rate=1 - 1e-12).train()
    x = torch.randn(2, 8, 8, 8)
    with torch.no_grad():
        assert torch.equal(block(x), x)


def test_frozen_parameters_get_no_gradient_and_x_its_own():
    block = make_block(False, 'selective').requires_grad_(False)
    x = torch.randn(1, 8, 8, 8, requires_grad=True)
    (expected,) = torch.autograd.grad(block.formula(x).sum(), x)
    block(x).sum().backward()
    torch.testing.assert_close(x.grad, expected, rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for p in block.parameters())
    block.pwconv1.weight.requires_grad_(True)
    block(torch.randn(1, 8, 8, 8)).sum().backward()
    assert block.pwconv1.weight.grad.any()


def test_a_second_derivative_is_refused():
    block = make_block(False, 'selective')
    x = torch.randn(1, 8, 8, 8, requires_grad=True)
    (grad,) = torch.autograd.grad(block(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        grad.sum().backward()


def test_without_onednn_the_same_numbers(monkeypatch):
    block = make_block(False, 'selective')
    x = torch.randn(2, 8, 16, 16, requires_grad=True)
    probe = torch.randn_like(x)
    out, grads = gradients(block, block, x, probe)
    with torch.backends.mkldnn.flags(enabled=False):
        other, plain = gradients(block, block, x, probe)
    for a, b in zip([out, *grads], [other, *plain], strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_torch_compile_gets_the_formula_and_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(
        'convnext_backbone.backbone.block.module._log_once', said.append
    )
    torch.manual_seed(0)
    model = ConvNeXt(SMALL, drop_path_rate=0.3).train()
    compiled = torch.compile(model, backend='aot_eager')
    x = torch.randn(2, 3, 64, 64)
    torch.manual_seed(1)
    expected = model(x)
    torch.manual_seed(1)
    for a, b in zip(compiled(x), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert said
    assert 'plain formula' in said[0]


@pytest.mark.parametrize('with_cp', LEVELS)
def test_a_block_inside_of_checkpointing(small_chunks, with_cp):
    block = make_block(False, with_cp).double()
    x = torch.randn(2, 8, 9, 10, dtype=torch.double, requires_grad=True)
    inputs = (x, *block.parameters())
    expected = torch.autograd.grad(block.formula(x).square().sum(), inputs)
    out = checkpoint(block, x, use_reentrant=False)
    for a, b in zip(
        torch.autograd.grad(out.square().sum(), inputs), expected, strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('kept', [[], [0], [0, 1]])
def test_outputs_may_be_changed_in_place(kept):
    block = make_block(False, 'selective')
    x = torch.randn(2, 8, 9, 10, requires_grad=True)
    out = residual_block(x, block.weights(), kept, 2.0, 'selective')
    expected = 3 * out.detach()
    torch.testing.assert_close(out.mul_(3), expected)
    out.sum().backward()
    assert x.grad is not None


def test_dropping_every_sample_gives_zero_gradients():
    block = make_block(True, 'selective')
    x = torch.randn(2, 8, 9, 10, requires_grad=True)
    probe = torch.randn(x.shape)
    residual_block(x, block.weights(), [], 2.0, 'selective').backward(probe)
    assert torch.equal(x.grad, probe)
    for parameter in block.parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_norm_statistics_are_fp32_under_autocast():
    block = make_block(False, False)
    # A mean far from 0 beside a small deviation, which bf16's 8 bits cannot hold.
    with torch.no_grad():
        block.dwconv.weight.zero_()
        block.dwconv.bias.copy_(1000 + torch.arange(8.0))
    x = torch.randn(1, 8, 8, 8)
    saved = []
    with (
        torch.autograd.graph.saved_tensors_hooks(
            lambda t: saved.append(t) or t, lambda t: t
        ),
        torch.autocast('cpu', torch.bfloat16),
    ):
        block(x)
    statistics = [t for t in saved if t.shape == (64, 1)]
    assert [t.dtype for t in statistics] == [torch.float32] * 2


class Doubled(nn.Module):
    """What an adapter does to a linear layer."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    @property
    def weight(self):
        return self.linear.weight

    @property
    def bias(self):
        return self.linear.bias

    def forward(self, x):
        return 2 * self.linear(x)


def test_adapters_and_hooks_are_called():
    block = make_block(False, 'selective').eval()
    x = torch.randn(1, 8, 9, 10)
    plain = block(x)
    calls = []
    handle = block.norm.register_forward_hook(lambda *args: calls.append(1))
    torch.testing.assert_close(block(x), plain, rtol=1e-5, atol=1e-5)
    assert calls
    handle.remove()
    block.pwconv2 = Doubled(block.pwconv2)
    torch.testing.assert_close(block(x) - x, 2 * (plain - x), rtol=1e-4, atol=1e-4)
