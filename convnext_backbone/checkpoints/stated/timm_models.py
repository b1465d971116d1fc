"""What timm knows of a model: its registry, and the folders that it writes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from mmengine.logging import MMLogger
from torch import nn

from convnext_backbone.backbone.block import ACTIVATIONS
from convnext_backbone.checkpoints.stated.values import PIXEL, Stated, channels

# Of the arguments that a folder states, those that say which functions are built.
LOOKED_AT = ('act_layer', 'norm_layer', 'norm_eps', 'conv_mlp')
SHRUNK: Mapping[str, Any] = MappingProxyType(
    dict(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
)


def from_registry(name: str) -> Stated:
    """Look up the weights that timm calls ``MODEL.TAG``."""
    from timm.models import get_pretrained_cfg  # loads torchvision

    origin = "timm's registry"
    try:
        cfg = get_pretrained_cfg(name)
    except RuntimeError:  # there is such a model, without this tag
        cfg = None
    if cfg is None:
        return Stated()
    built = _look_at(name.partition('.')[0], {})
    images = _images(cfg.to_dict())
    return Stated(built.act, built.norm_eps, images.mean, images.std, origin)


def from_config(config: Mapping) -> Stated:
    """Read the ``config.json`` of ``save_for_hf`` and ``push_to_hf_hub``."""
    if not isinstance(config.get('architecture'), str):
        return Stated()
    arguments = config.get('model_args')
    arguments = arguments if isinstance(arguments, Mapping) else {}
    if arguments.get('output_stride', 32) != 32:
        MMLogger.get_current_instance().warning(
            f'The weights were trained with output_stride='
            f'{arguments["output_stride"]} (according to config.json): the last maps '
            f'of this backbone are coarser, and its kernels are not dilated'
        )
    built = _look_at(config['architecture'], arguments)
    cfg = config.get('pretrained_cfg')
    images = _images(cfg if isinstance(cfg, Mapping) else config)
    return Stated(built.act, built.norm_eps, images.mean, images.std, 'config.json')


def from_open_clip(config: Mapping) -> Stated:
    """Read an ``open_clip_config.json``, whose image tower is a model of timm."""
    model, images = config.get('model_cfg'), config.get('preprocess_cfg')
    tower = model.get('vision_cfg') if isinstance(model, Mapping) else None
    name = tower.get('timm_model_name') if isinstance(tower, Mapping) else None
    built = _look_at(name, {}) if isinstance(name, str) else Stated()
    seen = _images(images) if isinstance(images, Mapping) else Stated()
    origin = 'open_clip_config.json'
    return Stated(built.act, built.norm_eps, seen.mean, seen.std, origin)


def _images(cfg: Mapping) -> Stated:
    return Stated(
        mean=channels(cfg.get('mean'), PIXEL), std=channels(cfg.get('std'), PIXEL)
    )


def _look_at(architecture: str, arguments: Mapping) -> Stated:
    """Build a model as timm would, without weights, and see which functions it has."""
    from timm import create_model, is_model  # loads torchvision

    if 'convnext' not in architecture or not is_model(architecture):
        return Stated()
    given = {key: arguments[key] for key in LOOKED_AT if key in arguments}
    try:
        with torch.device('meta'):
            model = create_model(architecture, **given, **SHRUNK)
    except Exception as error:  # whatever arguments of a file's lead timm to
        MMLogger.get_current_instance().warning(
            f'timm cannot build {architecture} with {given}, as the config.json beside '
            f'the weights wants it ({error}): its activation and eps are not known'
        )
        return Stated()
    blocks = [m for name, m in model.named_modules() if name.endswith('mlp.act')]
    acts = {_name(block) for block in blocks}
    eps = {
        module.eps
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm) and not name.startswith('head.')
    }
    return Stated(
        acts.pop() if len(acts) == 1 else None, eps.pop() if len(eps) == 1 else None
    )


def _name(act: nn.Module) -> str:
    """Return our name of the function that a module computes, or the module's."""
    x = torch.linspace(-8, 8, 321)
    with torch.no_grad():
        expected = act(x.clone())  # some work in place
    for name, activation in ACTIVATIONS.items():
        if torch.allclose(activation.apply(x), expected, rtol=0, atol=1e-6):
            return name
    return type(act).__name__
