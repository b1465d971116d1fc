"""Weights and activations in eight bits, by the tools of each format."""

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

    Symmetric weights, asymmetric activations (GELU's have few negative values). Of
    what was tried on Mask R-CNN with ConvNeXt-atto this is as fast as any and loses
    no AP; NNCF's ``model_type=TRANSFORMER``, or depthwise convolutions in fp32, gain
    nothing beyond the spread of the measurements.

    Args:
        source: The model, ``.xml``.
        target: The file to write.
        paths: Images to calibrate with.
        load: Reads one as a raw batch.
    """
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset(paths, lambda path: load(path).numpy())
    core = openvino_core()
    with mock.patch.object(openvino, 'Core', return_value=core):  # NNCF makes its own
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
    """Quantise an ONNX model with ONNX Runtime, statically, as QDQ.

    All operations that can be: convolutions alone left so many conversions between
    them that nothing was gained.

    Args:
        source: The model, ``.onnx``.
        target: The file to write.
        paths: Images to calibrate with.
        load: Reads one as a raw batch.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.paths: Iterator[str] = iter(paths)

        def get_next(self) -> dict | None:
            path = next(self.paths, None)
            return None if path is None else {INPUT: load(path).numpy()}

    prepared = source.with_suffix('.prepared.onnx')
    with _silence():
        # Symbolic shape inference fails where a size is computed, as in pooling.
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
def _silence() -> Iterator[None]:
    """Mute the root logger: a line for each bias that cannot be split by channel."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)
