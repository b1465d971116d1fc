"""The ways to run our backbone for inference, each an entry of :data:`VARIANTS`."""

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.benchmark.engines import Engine
from convnext_backbone.benchmark.equivalence import TOLERANCE, check_maps
from convnext_backbone.export.backends import PACKAGES

Run = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class Variant:
    """A way to run the backbone.

    Attributes:
        make: Takes the backbone in eval mode and example images, and returns the
            function that runs it.
        tolerance: Largest difference of the feature maps, relative to their largest
            value.
        packages: The packages that must be installed.
        takes: Tells whether it can run on given images.
    """

    make: Callable[[ConvNeXt, Tensor], Run]
    tolerance: float = TOLERANCE
    packages: tuple[str, ...] = ()
    takes: Callable[[Tensor], bool] = lambda images: True


INT8_TOLERANCE = 0.5  # a larger difference is a wrong output, not a loss of int8


def _engine(kind: str, int8: bool = False) -> Variant:
    return Variant(
        make=functools.partial(Engine, kind, int8),
        tolerance=INT8_TOLERANCE if int8 else 1e-3,
        packages=PACKAGES[kind],
        takes=Engine.takes,
    )


VARIANTS: dict[str, Variant] = {
    'eager': Variant(lambda model, images: model),
    'openvino': _engine('openvino'),
    'onnx': _engine('onnx'),
    'openvino int8': _engine('openvino', int8=True),
    'onnx int8': _engine('onnx', int8=True),
}


def make_variants(
    model: ConvNeXt, images: Tensor, variants: Mapping[str, Variant] | None = None
) -> dict[str, Run]:
    """Make all variants that can run on these images, and compare their feature maps.

    Args:
        model: Our backbone.
        images: (N, 3, H, W).
        variants: The variants to make. By default all.

    Returns:
        The functions that run the backbone, by the names of the variants.

    Raises:
        UserError: A variant does not compute what the backbone does.
    """
    model.eval()
    runs = {}
    with torch.no_grad():
        expected = model(images)
        for name, variant in (VARIANTS if variants is None else variants).items():
            installed = all(map(importlib.util.find_spec, variant.packages))
            if not (installed and variant.takes(images)):
                continue
            run = variant.make(model, images)
            check_maps(name, run(images), expected, variant.tolerance)
            runs[name] = run
    return runs
