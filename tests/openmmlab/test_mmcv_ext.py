import importlib.util
import inspect
import math
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import torchvision
from support.paths import ROOT

from convnext_backbone.openmmlab import mmcv_ext

IS_SERVED = importlib.util.find_spec('mmcv._ext').origin == str(mmcv_ext.SERVED_OPS)
needs_served = pytest.mark.skipif(
    not IS_SERVED, reason='mmcv has a compiled extension, which wins'
)


def run_python(code, *paths):
    """Run code in a fresh interpreter; returns what it printed, both streams."""
    path = ':'.join(map(str, [*paths, ROOT]))
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def random_boxes(n, seed=0, size=50.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, generator=generator) * 100
    sides = torch.rand(n, 2, generator=generator) * size + 1
    scores = torch.rand(n, generator=generator)
    return torch.cat([corners, corners + sides], 1), scores


def iou(a, b, offset):
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    inter = max(width, 0) * max(height, 0)
    area_a = (a[2] - a[0] + offset) * (a[3] - a[1] + offset)
    area_b = (b[2] - b[0] + offset) * (b[3] - b[1] + offset)
    return inter / (area_a + area_b - inter)


def plain_nms(boxes, scores, threshold, offset):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def plain_soft_nms(boxes, scores, threshold, sigma, min_score, method, offset):
    """Bodla et al. 2017, algorithm 1; scores below min_score leave."""
    left = dict(enumerate(scores))
    kept = []
    while left:
        best = max(left, key=left.get)
        kept.append((best, left.pop(best)))
        for i in list(left):
            overlap = iou(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                left[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                left[i] *= 1 - overlap if method == 'linear' else 0
            if left[i] < min_score:
                del left[i]
    return kept


@pytest.mark.parametrize('threshold', [0.0, 0.3, 0.7])
def test_nms_equals_torchvision(threshold):
    from mmcv.ops import nms

    boxes, scores = random_boxes(300)
    dets, kept = nms(boxes, scores, threshold)
    expected = torchvision.ops.nms(boxes, scores, threshold)
    assert kept.equal(expected)
    assert 0 < len(kept) < 300
    assert dets.equal(torch.cat([boxes, scores[:, None]], 1)[expected])


def test_batched_nms_equals_torchvision():
    from mmcv.ops import batched_nms

    boxes, scores = random_boxes(300)
    classes = torch.arange(300) % 4
    _, kept = batched_nms(boxes, scores, classes, dict(type='nms', iou_threshold=0.4))
    assert kept.equal(torchvision.ops.batched_nms(boxes, scores, classes, 0.4))


@pytest.mark.parametrize('offset', [0, 1])
def test_nms_offset_equals_plain_python(offset):
    from mmcv.ops import nms

    # Small boxes, for which one pixel more changes what is kept.
    boxes, scores = random_boxes(120, size=8.0)
    boxes = torch.cat([boxes, boxes + 0.7])
    scores = torch.cat([scores, scores - 0.001])
    _, kept = nms(boxes, scores, 0.5, offset=offset)
    expected = {k: plain_nms(boxes.tolist(), scores.tolist(), 0.5, k) for k in (0, 1)}
    assert expected[0] != expected[1]
    assert kept.tolist() == expected[offset]


def test_nms_offset_leaves_its_input_alone():
    from mmcv.ops import nms

    boxes, scores = random_boxes(5)
    before = boxes.clone()
    nms(boxes, scores, 0.5, offset=1)
    assert boxes.equal(before)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_of_other_types(dtype):
    from mmcv.ops import nms

    boxes, scores = (tensor.to(dtype) for tensor in random_boxes(20))
    _, kept = nms(boxes, scores, 0.5)
    assert kept.equal(torchvision.ops.nms(boxes.double(), scores.double(), 0.5))


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('min_score', [1e-3, 0.2])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_equals_plain_python(method, min_score, offset):
    from mmcv.ops import soft_nms

    boxes, scores = random_boxes(80)
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
    expected = plain_soft_nms(
        boxes.tolist(), scores.tolist(), 0.3, 0.5, min_score, method, offset
    )
    assert kept.tolist() == [i for i, _ in expected]
    assert dets[:, :4].equal(boxes[kept])
    torch.testing.assert_close(dets[:, 4], torch.tensor([s for _, s in expected]))
    assert (dets[:, 4] < scores[kept]).any() == (method != 'naive')


@needs_served
def test_soft_nms_serves_equal_scores_as_the_compiled_op():
    from mmcv._ext import softnms

    # Worked by hand from csrc/pytorch/cpu/nms.cpp: box 0 comes first; 1 and 2 are
    # gone, and the last boxes take their places: 6 that of 1, 5 that of 2.
    left = torch.tensor([0.0, 0, 0, 50, 100, 150, 200])
    boxes = torch.stack([left, left * 0, left + 9, left * 0 + 9], 1)
    scores = torch.tensor([0.9, *[0.5] * 6])
    dets = torch.full((7, 5), -1.0)
    kept = softnms(boxes, scores, dets, 0.5, 0.5, 1e-3, 0, 0)
    assert kept.tolist() == [0, 6, 5, 3, 4]
    assert dets[:5].equal(torch.cat([boxes, scores[:, None]], 1)[kept])
    assert scores.equal(torch.tensor([0.9, *[0.5] * 6]))


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_of_boxes_without_area_is_finite(method):
    from mmcv.ops import soft_nms

    boxes, scores = torch.ones(3, 4), torch.tensor([0.5, 0.9, 0.7])
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, 1e-3, method)
    assert kept.tolist() == [1, 2, 0]
    assert dets[:, 4].tolist() == pytest.approx([0.9, 0.7, 0.5])


def test_empty_boxes():
    from mmcv.ops import nms, soft_nms

    boxes, scores = torch.zeros(0, 4), torch.zeros(0)
    for function in (nms, soft_nms):
        dets, kept = function(boxes, scores, 0.5)
        assert dets.shape == (0, 5)
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64


def roi_case(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 13, 17, generator=generator, dtype=dtype)
    # Inside, across a border, tiny, and of a fraction of a pixel; image pixels.
    rois = [[0, 3, 5, 40, 30], [1, -9, 2, 90, 61], [1, 7.2, 7.7, 7.9, 8.1]]
    rois += [[0, 20.5, 10.25, 51.75, 47.5]]
    return features, torch.tensor(rois, dtype=dtype)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 1, 2])
def test_roi_align_equals_torchvision(sampling_ratio, aligned):
    from mmcv.ops import roi_align

    features, rois = roi_case()
    results = []
    for pool in (
        lambda x: roi_align(x, rois, (3, 5), 0.25, sampling_ratio, 'avg', aligned),
        lambda x: torchvision.ops.roi_align(
            x, rois, (3, 5), 0.25, sampling_ratio, aligned
        ),
    ):
        x = features.clone().requires_grad_()
        out = pool(x)
        (out * torch.arange(15.0).view(3, 5)).sum().backward()
        results.append((out, x.grad))
    torch.testing.assert_close(results[0], results[1])
    assert results[0][1].abs().sum() > 0


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('sampling_ratio', [0, 2])
def test_roi_align_gradcheck(sampling_ratio, aligned):
    from mmcv.ops import roi_align

    features, rois = roi_case(torch.float64)
    features = features[:, :1, :9, :9].requires_grad_()

    def pool(x):
        return roi_align(x, rois, 2, 0.125, sampling_ratio, 'avg', aligned)

    assert torch.autograd.gradcheck(pool, features)


def test_roi_align_of_channels_last_features_and_gradients():
    from mmcv.ops import roi_align

    features, rois = roi_case()
    grads = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = features.clone(memory_format=layout).requires_grad_()
        out = roi_align(x, rois, 2, 0.25, 0, 'avg', True)
        weight = torch.linspace(-1, 1, out.numel()).view_as(out)
        out.backward(weight.contiguous(memory_format=layout))
        grads.append((out, x.grad))
    assert grads[0][0].equal(grads[1][0])
    assert grads[0][1].equal(grads[1][1])


def test_roi_align_without_rois():
    from mmcv.ops import roi_align

    features = torch.randn(2, 3, 8, 8, requires_grad=True)
    out = roi_align(features, torch.zeros(0, 5), 7, 1.0, 0, 'avg', True)
    assert out.shape == (0, 3, 7, 7)
    out.sum().backward()
    assert features.grad.equal(torch.zeros(2, 3, 8, 8))


@needs_served
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [True, False])
def test_roi_align_in_half_precision(dtype, autocast):
    from mmcv.ops import roi_align

    features, rois = roi_case()
    x = features.to(dtype).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        out = roi_align(x, rois.to(dtype), 3, 0.25, 2, 'avg', True)
    assert out.dtype == dtype
    out.float().sum().backward()
    y = x.detach().float().requires_grad_()
    # The rois are rounded too, as mmdet's extractors do before they call the op.
    expected = torchvision.ops.roi_align(y, rois.to(dtype).float(), 3, 0.25, 2, True)
    assert out.equal(expected.to(dtype))
    expected.sum().backward()
    torch.testing.assert_close(x.grad, y.grad.to(dtype))


@needs_served
def test_roi_align_max_is_refused():
    from mmcv.ops import roi_align

    features, rois = roi_case()
    with pytest.raises(NotImplementedError, match=r"pool_mode='max'.*make mmcv-ops"):
        roi_align(features, rois, 3, 1.0, 0, 'max', True)


@needs_served
@pytest.mark.parametrize('gamma', [2.0, 0.5])
@pytest.mark.parametrize('weighted', [True, False])
def test_sigmoid_focal_loss_equals_torchvision(weighted, gamma):
    from mmcv.ops import sigmoid_focal_loss

    logits = torch.linspace(-9, 9, 28).view(7, 4)[:, [2, 0, 3, 1]]
    target = torch.tensor([0, 1, 2, 3, 4, 4, 0])  # 4 is background
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0]) if weighted else None
    row_weight = torch.tensor([0.5, 1, 2, 3, 1, 1, 0.5]) if weighted else torch.ones(7)
    x, y = (logits.clone().requires_grad_() for _ in range(2))
    loss = sigmoid_focal_loss(x, target, gamma, 0.3, weight, 'none')
    one_hot = torch.nn.functional.one_hot(target, 5)[:, :4].float()
    expected = torchvision.ops.sigmoid_focal_loss(y, one_hot, 0.3, gamma)
    expected = expected * row_weight[:, None]
    torch.testing.assert_close(loss, expected)
    (loss.sum() / 3).backward()
    (expected.sum() / 3).backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-5, atol=1e-7)
    assert (x.grad != 0).all()


@needs_served
def test_sigmoid_focal_loss_of_extreme_logits_and_nothing():
    from mmcv.ops import sigmoid_focal_loss

    logits = torch.tensor([[-200.0, 200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0]), 2.0, 0.25, None, 'none')
    assert loss[0].tolist() == pytest.approx([0.25 * 200, 0.75 * 200])
    loss.sum().backward()
    assert logits.grad[0].tolist() == pytest.approx([-0.25, 0.75])
    empty = sigmoid_focal_loss(
        torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), 2.0, 0.25, None, 'sum'
    )
    assert empty.item() == 0


@needs_served
def test_unserved_op_names_itself_and_the_way_out():
    from mmcv import _ext
    from mmcv.ops import deform_conv2d

    assert hasattr(_ext, 'op_of_a_later_mmcv')
    with pytest.raises(NotImplementedError, match=r'op_of_a_later_mmcv.*make mmcv-ops'):
        _ext.op_of_a_later_mmcv(1, key=2)
    image, weight = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 3, 3)
    with pytest.raises(NotImplementedError, match='deform_conv_forward'):
        deform_conv2d(image, torch.zeros(1, 18, 3, 3), weight)


@needs_served
def test_extension_is_a_module_like_others():
    from mmcv import _ext

    for name in ('__path__', '__wrapped__', '__all__', '_private'):
        assert not hasattr(_ext, name)
    assert _ext.__spec__.name == 'mmcv._ext'
    assert _ext.__spec__.loader
    assert Path(inspect.getsourcefile(_ext)) == mmcv_ext.SERVED_OPS
    for op in (_ext.nms, _ext.some_op):
        assert pickle.loads(pickle.dumps(op)) is op


@needs_served
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_mmcv_and_mmengine_take_the_extension_for_available():
    from mmcv.ops import get_compiler_version
    from mmcv.utils.ext_loader import check_ops_exist
    from mmdet.utils import collect_env
    from mmengine.utils.dl_utils import mmcv_full_available

    assert check_ops_exist()
    assert mmcv_full_available()
    assert 'torchvision' in get_compiler_version()
    assert 'MMDetection' in collect_env()


def test_import_is_cheap_and_install_happens_once():
    code = """
        import sys
        import convnext_backbone
        from convnext_backbone.openmmlab import mmcv_ext
        mmcv_ext.install()
        assert sys.meta_path.count(mmcv_ext.ServedOpsFinder) == 1
        assert sys.meta_path[-1] is mmcv_ext.ServedOpsFinder
        print({'torch', 'numpy', 'mmcv', 'mmengine'} & set(sys.modules))
    """
    assert run_python(code) == 'set()\n'


@pytest.fixture
def fake_mmcv(tmp_path):
    """A package mmcv whose ops need the extension, and an mmseg that can do without."""
    files = {
        'mmcv/__init__.py': '',
        'mmcv/ops/__init__.py': """
            import mmcv._ext
            class Base: ...
            def nms(): return "real"
        """,
        'mmseg/__init__.py': '',
        'mmseg/user.py': """
            try:
                from mmcv.ops import nms as swallowed
                from .late import value
            except ImportError:
                def swallowed(): return "stand-in"
                value = None
            try:
                from mmcv import no_such_name
            except ImportError:
                no_such_name = None
        """,
        'mmseg/head.py': """
            try:
                from mmcv.ops import Base
            except ImportError:
                Base = object
            class Head(Base): ...
        """,
        'mmseg/late.py': 'value = "late"',
        'mmseg/friend.py': 'from mmseg.user import swallowed as passed_on',
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))
    return tmp_path


LATE = """
    import mmseg.user, mmseg.friend, mmseg.head
    assert mmseg.user.swallowed() == mmseg.friend.passed_on() == EARLY
    import convnext_backbone
    print(mmseg.user.swallowed(), mmseg.friend.passed_on(), mmseg.user.value)
    print(mmseg.user.no_such_name)
"""


def test_compiled_extension_wins(fake_mmcv):
    (fake_mmcv / 'mmcv/_ext.py').write_text('is_compiled = True')
    code = 'import convnext_backbone, mmcv._ext; print(mmcv._ext.is_compiled)'
    assert run_python(code, fake_mmcv) == 'True\n'
    late = LATE.replace('EARLY', '"real"')
    assert run_python(late, fake_mmcv) == 'real real late\nNone\n'


def test_modules_imported_too_early_are_repaired_or_reported(fake_mmcv):
    output = run_python(LATE.replace('EARLY', '"stand-in"'), fake_mmcv)
    assert output.startswith('real real late\nNone\n')
    # The warning points at the import that came too late.
    assert '<string>:4: UserWarning: convnext_backbone was imported too late' in output
    assert 'for mmseg.head:' in output
    assert 'before the first import of mm' in output


@pytest.mark.slow
@needs_served
def test_detector_works_when_the_inferencers_were_imported_first():
    code = """
        import numpy as np, torch, warnings
        warnings.simplefilter('ignore')
        from mmseg.apis import MMSegInferencer
        from mmdet.apis import DetInferencer
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            import convnext_backbone
        (message,) = {str(w.message) for w in caught if 'late' in str(w.message)}
        assert 'mmseg.models.decode_heads.mask2former_head' in message, message

        import mmdet.models.roi_heads
        from mmdet.models.dense_heads import base_dense_head
        from mmdet.structures.mask import BitmapMasks
        boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8], [20, 20, 29, 29]])
        _, kept = base_dense_head.batched_nms(
            boxes, torch.tensor([.9, .8, .7]), torch.zeros(3),
            dict(type='nms', iou_threshold=.5))
        assert kept.tolist() == [0, 2]
        masks = BitmapMasks(np.ones((1, 32, 32), np.uint8), 32, 32)
        crop = masks.crop_and_resize(boxes[:1].numpy(), (4, 4), np.zeros(1, np.int64))
        print(crop.masks.sum())
    """
    assert run_python(code).splitlines()[-1] == '16'
