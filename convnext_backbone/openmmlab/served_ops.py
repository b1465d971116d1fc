"""The ops of ``mmcv._ext`` that detectors need, on torchvision's kernels.

``mmcv_ops.py`` loads this file under the name ``mmcv._ext``. Signatures and the
habit of writing into given output tensors are those of mmcv's ``pybind.cpp``.
An op that is not here raises NotImplementedError when it is called, not when
``mmcv.ops`` looks it up.
"""

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from convnext_backbone.openmmlab import roi_align_cpu

_MAX_POOLING = 0
_SOFT_NMS_NAIVE, _SOFT_NMS_LINEAR, _SOFT_NMS_GAUSSIAN = range(3)


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Non-maximum suppression (mmcv ``csrc/pytorch/cpu/nms.cpp``).

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        scores: (N,).
        iou_threshold: boxes that overlap a better one by more are dropped.
        offset: a box is x2 - x1 + offset pixels wide; 0 or 1.

    Returns:
        Indices of the kept boxes (K,), best score first.
    """
    dtype = _kernel_dtype(boxes)
    boxes = boxes.to(dtype)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    return torchvision.ops.nms(boxes, scores.to(dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft non-maximum suppression on the CPU (mmcv ``csrc/pytorch/cpu/nms.cpp``).

    The best box left is selected, and the scores of the others decay with their
    overlap. Boxes whose score has fallen below ``min_score`` leave; equal scores
    are served in the order the compiled op serves them. Boxes without area overlap
    nothing, where the compiled op may give them the score NaN.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in pixels.
        scores: (N,).
        dets: (N, 5), written: its first K rows become the selected boxes and
            their decayed scores.
        iou_threshold: overlaps below it leave a score as it is (naive, linear).
        sigma: width of the Gaussian decay.
        min_score: boxes that decay below it are dropped.
        method: 0 naive, 1 linear, 2 Gaussian.
        offset: a box is x2 - x1 + offset pixels wide; 0 or 1.

    Returns:
        Indices of the selected boxes (K,), in the order of selection.
    """
    corners = boxes.detach().to(_kernel_dtype(boxes)).numpy()
    score = scores.detach().to(_kernel_dtype(boxes)).numpy().copy()
    left: np.ndarray = np.arange(len(score))
    area = np.prod(corners[:, 2:] - corners[:, :2] + offset, axis=1)
    selected, selected_scores = [], []
    while len(left):
        best = score.argmax()
        box = left[best]
        selected.append(box)
        selected_scores.append(score[best])
        # The first of the remaining boxes takes the place of the selected one.
        left[best], score[best] = left[0], score[0]
        left, score = left[1:], score[1:]

        rest = corners[left]
        size = np.minimum(corners[box, 2:], rest[:, 2:])
        size = size - np.maximum(corners[box, :2], rest[:, :2]) + offset
        inter = np.prod(np.maximum(size, 0), axis=1)
        iou = inter / np.where(inter > 0, area[box] + area[left] - inter, 1)
        if method == _SOFT_NMS_NAIVE:
            score *= iou < iou_threshold
        elif method == _SOFT_NMS_LINEAR:
            score *= np.where(iou < iou_threshold, 1, 1 - iou)
        elif method == _SOFT_NMS_GAUSSIAN:
            score *= np.exp(-(iou**2) / sigma)
        order = _order_after_removal(score < min_score)
        left, score = left[order], score[order]
    kept = torch.from_numpy(np.array(selected, dtype=np.int64))
    dets[: len(kept), :4] = boxes[kept]
    dets[: len(kept), 4] = torch.tensor(np.array(selected_scores, corners.dtype))
    return kept


def _order_after_removal(removed: np.ndarray) -> np.ndarray:
    """Order of what is kept when the last element fills each gap in turn."""
    count = len(removed) - np.count_nonzero(removed)
    order = np.arange(count)
    if count < len(removed):
        moved = count + np.flatnonzero(~removed[count:])
        order[np.flatnonzero(removed[:count])] = moved[::-1]
    return order


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign by average pooling (mmcv ``csrc/pytorch/cpu/roi_align.cpp``).

    Args:
        input: (N, C, H, W) features.
        rois: (R, 5) index of the image, x1, y1, x2, y2 in pixels of the image.
        output: (R, C, aligned_height, aligned_width), written.
        argmax_y: unused, of max pooling.
        argmax_x: unused, of max pooling.
        aligned_height: height of an output.
        aligned_width: width of an output.
        spatial_scale: pixels of the features per pixel of the image.
        sampling_ratio: samples per bin and axis; 0 takes as many as fit.
        pool_mode: 1, average; 0, maximum, is not served.
        aligned: whether pixel centres lie at half pixels.

    Raises:
        NotImplementedError: on maximum pooling.
    """
    _reject_max_pooling(pool_mode)
    dtype = _kernel_dtype(input)
    output.copy_(
        torch.ops.torchvision.roi_align(
            input.to(dtype),
            rois.to(dtype),
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward`, whose arguments it shares.

    Args:
        grad_output: (R, C, aligned_height, aligned_width).
        rois: (R, 5), as in the forward pass.
        argmax_y: unused, of max pooling.
        argmax_x: unused, of max pooling.
        grad_input: (N, C, H, W), written.
        aligned_height: height of an output.
        aligned_width: width of an output.
        spatial_scale: pixels of the features per pixel of the image.
        sampling_ratio: samples per bin and axis; 0 takes as many as fit.
        pool_mode: 1, average; 0, maximum, is not served.
        aligned: whether pixel centres lie at half pixels.

    Raises:
        NotImplementedError: on maximum pooling.
    """
    _reject_max_pooling(pool_mode)
    dtype = _kernel_dtype(grad_output)
    grad_output, rois = grad_output.to(dtype), rois.to(dtype)
    if grad_input.is_cpu:
        gradient = roi_align_cpu.roi_align_backward(
            grad_output, rois, grad_input.shape, spatial_scale, sampling_ratio, aligned
        )
    else:
        gradient = torch.ops.torchvision._roi_align_backward(
            grad_output,
            rois,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    grad_input.copy_(gradient)


def _reject_max_pooling(pool_mode: int) -> None:
    if pool_mode == _MAX_POOLING:
        _raise_unserved("roi_align with pool_mode='max'")


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Sigmoid focal loss (mmcv ``sigmoid_focal_loss_cuda_kernel.cuh``).

    Args:
        input: (N, C) logits.
        target: (N,) class of each row; C is background, no class at all.
        weight: (C,) factor of the rows of each class, or empty. Background rows,
            for which the compiled op reads beyond its end, have the factor 1.
        output: (N, C), written.
        gamma: exponent of the focusing factor.
        alpha: weight of the positives; negatives have 1 - alpha.
    """
    x, is_positive, scale = _focal_terms(input, target, weight, alpha)
    # With p the probability of the wrong answer: the loss is -p**gamma log(1 - p).
    wrong = torch.where(is_positive, -x, x)
    output.copy_(-scale * wrong.sigmoid() ** gamma * F.logsigmoid(-wrong))


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Gradient of the sum of :func:`sigmoid_focal_loss_forward` over its elements.

    Args:
        input: (N, C) logits.
        target: (N,) class of each row; C is background, no class at all.
        weight: (C,) factor of the rows of each class, or empty.
        grad_input: (N, C), written.
        gamma: exponent of the focusing factor.
        alpha: weight of the positives; negatives have 1 - alpha.
    """
    x, is_positive, scale = _focal_terms(input, target, weight, alpha)
    wrong = torch.where(is_positive, -x, x)
    p = wrong.sigmoid()
    # d/dw of -p**gamma log(1 - p) with p = sigmoid(w), and dw/dx = -1 or 1.
    slope = p**gamma * (p - gamma * (1 - p) * F.logsigmoid(-wrong))
    grad_input.copy_(scale * torch.where(is_positive, -slope, slope))


def _focal_terms(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, mask of the positives and factor of each element, all (N, C)."""
    x = input.to(_kernel_dtype(input))
    classes = torch.arange(x.size(1), device=x.device)
    is_positive = target[:, None] == classes
    scale = torch.where(is_positive, alpha, 1 - alpha).to(x.dtype)
    if weight.numel():
        row_weight = torch.cat([weight.to(x.dtype), x.new_ones(1)])[target]
        scale = scale * row_weight[:, None]
    return x, is_positive, scale


def get_compiler_version() -> str:
    """What mmcv's environment report prints as its compiler."""
    return f'none (ops served by torchvision {torchvision.__version__})'


def get_compiling_cuda_version() -> str:
    """What mmcv's environment report prints as its CUDA compiler."""
    return 'none'


def _kernel_dtype(tensor: Tensor) -> torch.dtype:
    """The type to compute in: torchvision lacks bf16 kernels, half ones lose digits."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def __getattr__(name: str) -> Callable[..., NoReturn]:
    """Any other op: a function that raises, and stays the same when asked again."""
    # Interpreters, pickle and notebooks probe for underscored names.
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def unserved(*args: object, **kwargs: object) -> NoReturn:
        _raise_unserved(name)

    unserved.__name__ = unserved.__qualname__ = name
    globals()[name] = unserved
    return unserved


def _raise_unserved(op: str) -> NoReturn:
    raise NotImplementedError(
        f'mmcv op {op}: not among the few that convnext_backbone serves where mmcv '
        'has no compiled extension (nms, softnms, roi_align by average pooling, '
        'sigmoid_focal_loss). Compile the extension with `make mmcv-ops` in a '
        'checkout of convnext_backbone (20 minutes on two cores).'
    )
