"""What the machine could do at best, and how much of it a training step asks for."""

import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

from convnext_backbone.benchmark.arch_specs import Arch

SIDES = (1024, 2048, 3072)  # of the square matrices
SECONDS = 1.5  # for each product that is measured
BACKWARD = 2  # products in backward for each one in forward


def gemm_peak(device: str) -> float:
    """Measure the fastest fp32 matrix product of this machine, in FLOP/s.

    A multiply-add counts as two. On a CPU both the BLAS of torch.mm and oneDNN, which
    computes convolutions, are tried: a 1x1 convolution is a matrix product.
    """
    best = 0.0
    for side in SIDES:
        matrix = torch.randn(side, side, device=device)
        image = matrix.view(1, side, side, 1).to(memory_format=torch.channels_last)
        kernel = matrix.view(side, side, 1, 1)
        blas = partial(torch.mm, matrix, matrix)
        onednn = partial(F.conv2d, image, kernel)
        fastest = min(_fastest(blas, device), _fastest(onednn, device))
        best = max(best, 2 * side**3 / fastest)
    return best


def _fastest(product: Callable[[], Tensor], device: str) -> float:
    """Least seconds of a call, among those of some time."""
    product()
    synchronize(device)
    fastest, end = float('inf'), perf_counter() + SECONDS
    while perf_counter() < end:
        start = perf_counter()
        product()
        synchronize(device)
        fastest = min(fastest, perf_counter() - start)
    return fastest


def synchronize(device: str) -> None:
    """Wait until the device has done what was asked of it."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def forward_flops(
    arch: Arch, batch: int, shape: tuple[int, int], drop_path: float = 0.0
) -> float:
    """Count the FLOPs of all convolutions and linear layers in a forward pass.

    A multiply-add counts as two. Of a block with drop path the samples count that are
    kept on average, whoever computes the others too.

    Args:
        arch: The model.
        batch: Number of images.
        shape: Their height and width, pixels.
        drop_path: Rate of the last block, rising linearly from 0 at the first.
    """
    return 2.0 * batch * sum(_multiply_adds(arch, shape, drop_path))


def step_flops(
    arch: Arch, batch: int, shape: tuple[int, int], drop_path: float = 0.0
) -> float:
    """Count the FLOPs of forward and backward, as :func:`forward_flops` does.

    Backward has a product for the weights and one for the inputs of every layer, but
    for those of the stem: no one asks for the gradient of the images.
    """
    stem, *others = _multiply_adds(arch, shape, drop_path)
    return 2.0 * batch * (BACKWARD * stem + (1 + BACKWARD) * sum(others))


def _multiply_adds(arch: Arch, shape: tuple[int, int], drop_path: float) -> list[float]:
    """Multiply-adds for an image: of the stem, then of each other layer or block."""
    height, width = shape[0] // 4, shape[1] // 4
    counts: list[float] = [height * width * 3 * 4 * 4 * arch.channels[0]]
    last = max(1, sum(arch.depths) - 1)
    block = 0
    for i, (depth, channels) in enumerate(zip(arch.depths, arch.channels, strict=True)):
        if i:
            height, width = height // 2, width // 2
            counts.append(height * width * arch.channels[i - 1] * 2 * 2 * channels)
        for _ in range(depth):
            kept = 1 - drop_path * block / last
            per_pixel = 7 * 7 * channels + 2 * channels * 4 * channels
            counts.append(kept * height * width * per_pixel)
            block += 1
    return counts


def describe_machine(device: str) -> str:
    """Name the processor, its threads, how idle ones wait, and the release of torch."""
    if torch.device(device).type == 'cuda':
        return f'{torch.cuda.get_device_name(device)}, torch {torch.__version__}'
    policy = os.environ.get('OMP_WAIT_POLICY', 'unset')
    return (
        f'{_cpu_name()}, {torch.get_num_threads()} threads (OMP_WAIT_POLICY {policy}), '
        f'torch {torch.__version__}'
    )


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text(errors='replace').splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()
