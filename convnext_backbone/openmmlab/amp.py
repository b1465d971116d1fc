"""Mixed precision on machines without a GPU: bf16 autocast, or none at all."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from torch import nn

from convnext_backbone.registry import OPTIM_WRAPPERS

AMP_ONLY_KEYS = ('loss_scale', 'dtype', 'use_fsdp')


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Runs forward and loss under bf16 autocast on the CPU.

    bf16 has the exponent range of fp32, so no loss scaling is needed.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast around one forward pass of ``model``."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def cpu_has_bf16() -> bool:
    """Tell whether the CPU multiplies bf16 in hardware; emulated it is slow."""
    # Private, so asked for with care: an older torch lacks them.
    names = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    return any(getattr(torch.cpu, name, bool)() for name in names)


def without_amp(optim_wrapper: dict) -> dict:
    """Return a config without the keys that only a wrapper for AMP understands."""
    return {k: v for k, v in optim_wrapper.items() if k not in AMP_ONLY_KEYS}


def resolve_optim_wrapper(optim_wrapper: dict) -> dict:
    """Replace AmpOptimWrapper where there is no accelerator that it could use.

    Args:
        optim_wrapper: The config's ``optim_wrapper``; it is not changed.

    Returns:
        The same config on a GPU, or where it asks for no AMP. On a CPU: bf16
        autocast if the CPU has bf16 instructions, else fp32; one line says which.
    """
    wrapper_type = optim_wrapper.get('type')
    if wrapper_type not in ('AmpOptimWrapper', 'mmengine.AmpOptimWrapper'):
        return optim_wrapper
    if get_device() != 'cpu':
        return optim_wrapper
    logger = MMLogger.get_current_instance()
    if cpu_has_bf16():
        logger.info('AMP: no GPU here, training in bf16 autocast on the CPU')
        return {
            **without_amp(optim_wrapper),
            'type': 'convnext_backbone.CpuAmpOptimWrapper',
        }
    logger.info(
        'AMP: no GPU here and no bf16 instructions in the CPU, training in fp32'
    )
    return {**without_amp(optim_wrapper), 'type': 'OptimWrapper'}
