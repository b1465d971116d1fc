"""What ``config.json`` and ``preprocessor_config.json`` of transformers state."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from convnext_backbone.checkpoints.stated.values import (
    PIXEL,
    Stated,
    channels,
    number,
)

MODEL_TYPES = ('convnext', 'convnextv2')
# transformers' names of the functions that go by other names here.
ACTS = MappingProxyType(
    {
        'gelu_python': 'gelu',
        'gelu_new': 'gelu_tanh',
        'gelu_fast': 'gelu_tanh',
        'gelu_accurate': 'gelu_tanh',
        'gelu_pytorch_tanh': 'gelu_tanh',
        'gelu_python_tanh': 'gelu_tanh',
        'swish': 'silu',
    }
)
# Of all norms but the classifier's, which alone has the config's layer_norm_eps.
NORM_EPS = 1e-6


def from_config(config: Mapping) -> Stated:
    """Read a model's config, or that of the backbone within a model's."""
    models = list(_convnexts(config))
    acts = {str(model.get('hidden_act', 'gelu')) for model in models}
    if len(acts) != 1:  # no ConvNeXt, or several that differ
        return Stated()
    act = acts.pop()
    return Stated(ACTS.get(act, act), NORM_EPS, origin='config.json')


def from_preprocessor(config: Mapping) -> Stated:
    """Read how the images were prepared."""
    white = 1.0  # without rescaling, mean and std are those of the pixel values
    if config.get('do_rescale', True):
        white = 1 / (number(config.get('rescale_factor')) or 1 / PIXEL)
    mean, std = config.get('image_mean'), config.get('image_std')
    if config.get('do_normalize') is False:
        mean, std = [0.0] * 3, [1.0] * 3
    return Stated(
        mean=channels(mean, white),
        std=channels(std, white),
        origin='preprocessor_config.json',
    )


def _convnexts(config: object) -> Iterator[Mapping]:
    """Yield the config of each ConvNeXt in a config."""
    if isinstance(config, Mapping):
        if config.get('model_type') in MODEL_TYPES:
            yield config
        for value in config.values():
            yield from _convnexts(value)
