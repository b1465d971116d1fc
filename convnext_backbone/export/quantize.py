"""Quantises weights and activations to int8, with the tools of each format."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from torch import Tensor

from convnext_backbone.export.backends import openvino_core
from convnext_backbone.export.convert import INPUT


def quantize_openvino(
    source: Path, target: Path, paths: Sequence[str], load: Callable[[str], Tensor]
) -> None:
    """Quantise an OpenVINO model with NNCF.

    Weights are symmetric and activations asymmetric, because the outputs of GELU have
    few negative values. On Mask R-CNN with ConvNeXt-atto no other setting was faster,
    and this one lost no AP; NNCF's ``model_type=TRANSFORMER`` and depthwise
    convolutions in fp32 gained nothing beyond the spread of the measurements.

    Args:
        source: The model, ``.xml``.
        target: The file to write.
        paths: The images to calibrate with.
        load: Reads an image as a raw batch, (1, C, H, W).
    """
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset(paths, lambda path: load(path).numpy())
    core = openvino_core()
    with mock.patch.object(openvino, 'Core', return_value=core):  # NNCF calls it
        quantised = nncf.quantize(
            core.read_model(source),
            data,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(paths),
        )
    openvino.save_model(quantised, target, compress_to_fp16=False)


def quantize_onnx(
    source: Path, target: Path, paths: Sequence[str], load: Callable[[str], Tensor]
) -> None:
    """Quantise an ONNX model with ONNX Runtime, statically, in the QDQ format.

    All operations are quantised that can be. With convolutions alone, the conversions
    between int8 and fp32 took all the time that was gained.

    Args:
        source: The model, ``.onnx``.
        target: The file to write.
        paths: The images to calibrate with.
        load: Reads an image as a raw batch, (1, C, H, W).
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        """Hands out the images one by one, then None."""

        def __init__(self) -> None:
            self.paths: Iterator[str] = iter(paths)

        def get_next(self) -> dict | None:
            path = next(self.paths, None)
            return None if path is None else {INPUT: load(path).numpy()}

    prepared = source.with_suffix('.prepared.onnx')
    with _root_logger_muted():
        # Symbolic shape inference fails where sizes are computed, as in pooling.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            target,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )


QUANTIZERS = {'onnx': quantize_onnx, 'openvino': quantize_openvino}


@contextmanager
def _root_logger_muted() -> Iterator[None]:
    """Drop the warnings about biases that cannot be quantised by channel."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)
