"""Our backbone in the inference engines that a model can be exported to."""

import copy
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.export import images as pictures
from convnext_backbone.export.backends import SUFFIXES, require
from convnext_backbone.export.convert import SAVERS, STRIDE, finish, trace
from convnext_backbone.export.exported_model import ExportedModel
from convnext_backbone.export.quantize import QUANTIZERS
from convnext_backbone.export.rewrite import rewrite


class Engine:
    """The backbone, exported to a file of one format and run by its engine.

    Args:
        kind: 'onnx' or 'openvino'.
        int8: Whether to quantise it. It is calibrated on the images themselves, which
            does not change its speed, but says nothing about the loss of accuracy.
        model: The backbone.
        images: (N, 3, H, W), H and W multiples of 32.

    Raises:
        UserError: A package is missing, or the backbone cannot be exported.
    """

    @staticmethod
    def takes(images: Tensor) -> bool:
        """Tell whether images are on the CPU, with sides that are multiples of 32."""
        height, width = images.shape[-2:]
        on_cpu = images.device.type == 'cpu'
        return on_cpu and height % STRIDE == 0 and width % STRIDE == 0

    def __init__(self, kind: str, int8: bool, model: ConvNeXt, images: Tensor) -> None:
        require(kind)
        self.folder = TemporaryDirectory(prefix='engine_')  # is deleted with self
        files = [
            Path(self.folder.name, name).with_suffix(SUFFIXES[kind])
            for name in ('float', 'int8', 'fixed')
        ]
        source, quantised, fixed = files
        program = trace(rewrite(copy.deepcopy(model)).eval(), pictures.example(images))
        names = [f'map_{i}' for i in model.out_indices]
        SAVERS[kind](program, names, source)
        if int8:
            QUANTIZERS[kind](source, quantised, ['images'], lambda _: images)
            source = quantised
        finish(kind, source, fixed, tuple(images.shape), {})
        self.run = ExportedModel(fixed)

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps."""
        return self.run(images)
