"""RoIAlign's gradient on a CPU, as a sparse matrix product.

Average-pooled RoIAlign is linear in the feature map: row k of a sparse matrix
holds the bilinear weights of bin k. Its gradient is the transposed matrix times
the output's gradient, channels innermost, so that every weight serves a whole
vector of channels; torchvision's kernel scatters one channel at a time.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    input_shape: Sequence[int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Compute the gradient of average-pooled RoIAlign with respect to its input.

    Args:
        grad_output: Gradient of the output (K, C, P, Q), fp32 or fp64.
        rois: (K, 5) batch index, x1, y1, x2, y2 in pixels of the image.
        input_shape: (N, C, H, W) of the feature map.
        spatial_scale: Cells of the map per pixel of the image.
        sampling_ratio: Samples a bin and axis; 0 takes one a cell, rounded up.
        aligned: Whether pixel centres are at half-integers.

    Returns:
        The gradient (N, C, H, W), in channels_last.
    """
    n, c, h, w = input_shape
    k, _, p, q = grad_output.shape
    dtype = grad_output.numpy().dtype
    batch = rois[:, 0].long().numpy()
    offset = 0.5 if aligned else 0.0
    corners = (rois[:, 1:] * spatial_scale - offset).numpy().astype(dtype)
    size = corners[:, 2:] - corners[:, :2]  # (K, 2): width, height
    if not aligned:
        size = np.maximum(size, 1)
    if sampling_ratio > 0:
        samples = np.full((k, 2), sampling_ratio)
    else:
        cells_per_bin = np.nan_to_num(size / np.array([q, p], dtype))
        samples = np.ceil(cells_per_bin).astype(int).clip(min=0)

    bins = grad_output.permute(0, 2, 3, 1).reshape(k, p * q, c).numpy()
    order, cells, weights, per_bin = [], [], [], []
    # RoIs with the same number of samples have rows of the same length.
    for nx, ny in np.unique(samples, axis=0):
        if nx == 0 or ny == 0:  # a RoI without area has no samples
            continue
        chosen = np.flatnonzero((samples == (nx, ny)).all(axis=1))
        xs, wx = _axis(corners[chosen, 0], size[chosen, 0], q, nx, w)
        ys, wy = _axis(corners[chosen, 1], size[chosen, 1], p, ny, h)
        # (rois, P, 1, samples of y, 1) and (rois, 1, Q, 1, samples of x)
        rows = batch[chosen, None, None] * h + ys
        cells.append((rows[:, :, None, :, None] * w + xs[:, None, :, None, :]).ravel())
        weights.append((wy[:, :, None, :, None] * wx[:, None, :, None, :]).ravel())
        per_bin.append(np.full(len(chosen) * p * q, 4 * nx * ny))
        order.append(chosen)
    if not order:
        return grad_output.new_zeros(input_shape)
    starts = np.concatenate([[0], *per_bin]).cumsum()
    matrix = sparse.csr_matrix(
        (np.concatenate(weights), np.concatenate(cells), starts),
        shape=(len(starts) - 1, n * h * w),
    )
    grad_input = matrix.T @ bins[np.concatenate(order)].reshape(-1, c)
    grad = torch.from_numpy(grad_input).view(n, h, w, c)
    return grad.permute(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


def _axis(
    start: np.ndarray, size: np.ndarray, bins: int, samples: int, cells: int
) -> tuple[np.ndarray, np.ndarray]:
    """Place the samples of every bin along one axis.

    Args:
        start: First edge of each RoI, in cells (K,).
        size: Length of each RoI, in cells (K,).
        bins: Bins along the axis.
        samples: Samples in each bin.
        cells: Length of the map.

    Returns:
        Cell indices and weights, both (K, bins, 2 * samples): the two neighbours of
        each sample, weighted for the mean of a bin. A sample more than a cell
        outside the map counts as 0.
    """
    # In the kernel's own order and precision, or rounding would move samples.
    length = (size / bins)[:, None, None]
    bin_index = np.arange(bins, dtype=start.dtype)[:, None]
    within = (np.arange(samples, dtype=start.dtype) + start.dtype.type(0.5)) * length
    at = start[:, None, None] + bin_index * length + within / start.dtype.type(samples)
    inside = (at >= -1) & (at <= cells)
    at = np.where(inside, at, 0).clip(0, cells - 1)  # NaN is not inside either
    low = at.astype(np.int64)  # (K, bins, samples)
    high = np.minimum(low + 1, cells - 1)
    share = at - low
    index = np.stack([low, high], axis=-1)
    weight = np.stack([1 - share, share], axis=-1) * (inside / samples)[..., None]
    shape = (len(start), bins, 2 * samples)
    return index.reshape(shape), weight.astype(start.dtype).reshape(shape)
