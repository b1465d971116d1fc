"""The machine: its fastest matrix product, its name, and waiting for its GPU."""

import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor

SIDES = (1024, 2048, 3072)  # of the square matrices
SECONDS = 1.5  # for each product that is measured


def gemm_peak(device: str) -> float:
    """Measure the fastest fp32 matrix product of this machine, in FLOP/s.

    A multiply-add counts as two. On a CPU both the BLAS of torch.mm and oneDNN, which
    computes convolutions, are measured: a 1x1 convolution is a matrix product.
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
    """Call a product for :data:`SECONDS`; return the seconds of the fastest call."""
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
    """Wait until a GPU has finished its work; a CPU always has."""
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)


def describe_machine(device: str) -> str:
    """Name the processor, the threads and how idle ones wait, and PyTorch's release."""
    if torch.device(device).type == 'cuda':
        return f'{torch.cuda.get_device_name(device)}, torch {torch.__version__}'
    policy = os.environ.get('OMP_WAIT_POLICY', 'unset')
    return (
        f'{_cpu_name()}, {torch.get_num_threads()} threads (OMP_WAIT_POLICY {policy}), '
        f'torch {torch.__version__}'
    )


def _cpu_name() -> str:
    """Return the processor's name, from Linux where it can be read."""
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text(errors='replace').splitlines():
            if line.startswith('model name'):
                return line.split(':', 1)[1].strip()
    return platform.processor() or platform.machine()
