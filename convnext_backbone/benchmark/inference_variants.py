"""Ways to run our backbone when nothing is trained, to compare with the peers' own.

A new way is a row of :data:`VARIANTS`.
"""

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
        make: From the backbone in eval mode and example images to what runs it.
        tolerance: Greatest difference of the maps, relative to their greatest value.
        packages: What must be installed.
        takes: Tells whether it can run on such images.
    """

    make: Callable[[ConvNeXt, Tensor], Run]
    tolerance: float = TOLERANCE
    packages: tuple[str, ...] = ()
    takes: Callable[[Tensor], bool] = lambda images: True


INT8_TOLERANCE = 0.5  # finds a wrong output, not what eight bits lose


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
    """Make every variant that can be had for these images, and compare its maps.

    Args:
        model: Ours.
        images: (N, 3, H, W).
        variants: Those to make; all by default.

    Returns:
        What runs the backbone, by the variant's name.

    Raises:
        UserError: A variant computes something else.
    """
    model.eval()
    runs = {}
    with torch.no_grad():
        expected = model(images)
        for name, variant in (VARIANTS if variants is None else variants).items():
            there = all(map(importlib.util.find_spec, variant.packages))
            if not (there and variant.takes(images)):
                continue
            run = variant.make(model, images)
            check_maps(name, run(images), expected, variant.tolerance)
            runs[name] = run
    return runs
