"""Converts a PyTorch module to an ONNX or OpenVINO file."""

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from convnext_backbone.export.backends import openvino_core
from convnext_backbone.foundation.errors import UserError

STRIDE = 32  # images are padded to multiples of it
INPUT = 'images'
MOST_ONNX_BYTES = 2 << 30  # the limit of a protobuf message


def trace(module: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    """Trace a module for any batch size, and any height and width that it takes.

    Args:
        module: Takes images (N, C, H, W), in eval mode.
        images: What :func:`~convnext_backbone.export.images.example` returned.

    Raises:
        UserError: The module's control flow depends on the values of tensors, or on
            their shapes in a way that torch.export cannot express.
    """
    sizes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return torch.export.export(module, (images,), dynamic_shapes=(sizes,))
    except Exception as error:  # a module may raise anything
        reason = str(error).strip().partition('\n')[0]
        raise UserError(
            f'{type(getattr(module, "model", module)).__name__} cannot be exported by '
            f'torch.export: {type(error).__name__}: {reason}; --debug shows where, and '
            f'another head or neck in the config may do without it'
        ) from error


def save_onnx(
    program: torch.export.ExportedProgram, names: list[str], path: Path
) -> None:
    """Write a traced program as an ONNX file of dynamic input size.

    Args:
        program: What :func:`trace` returned.
        names: The names of its outputs.
        path: The ``.onnx`` file.

    Raises:
        UserError: The file would be larger than 2 GiB.
    """
    size = sum(t.numel() * t.element_size() for t in program.state_dict.values())
    if size > 0.95 * MOST_ONNX_BYTES:
        raise UserError(
            f'the model has {size / 2**30:.1f} GiB of weights, more than an ONNX file '
            f'can hold: use --format openvino'
        )
    level = logging.getLogger('torch.onnx').level
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            onnx_program = torch.onnx.export(
                program,
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=names,
            )
        assert onnx_program is not None, 'dynamo=True returns a program'
        onnx_program.save(path, external_data=False)
    finally:
        logging.getLogger('torch.onnx').setLevel(level)


def save_openvino(
    program: torch.export.ExportedProgram, names: list[str], path: Path
) -> None:
    """Write a traced program as ``.xml`` and ``.bin`` files of dynamic input size."""
    import openvino

    model = openvino.convert_model(program)
    (images,) = program.example_inputs[0]
    model.reshape([-1, images.shape[1], -1, -1])  # else any number of channels
    model.inputs[0].set_names({INPUT})
    for output, name in zip(model.outputs, names, strict=True):
        output.set_names({name})
    openvino.save_model(model, path, compress_to_fp16=False)


SAVERS = {'onnx': save_onnx, 'openvino': save_openvino}


def finish(
    kind: str, source: Path, target: Path, shape: tuple | None, notes: dict[str, str]
) -> None:
    """Copy an exported model, with notes in it and its input shape fixed.

    Args:
        kind: 'onnx' or 'openvino'.
        source: The model of dynamic input size.
        target: The file to write.
        shape: (N, C, H, W), or None to leave the input size dynamic.
        notes: What the file states of its input and outputs.
    """
    if kind == 'openvino':
        import openvino

        model = openvino_core().read_model(source)
        if shape:
            model.reshape(shape)
        for key, value in notes.items():
            model.set_rt_info(value, ['convnext_backbone', key])
        openvino.save_model(model, target, compress_to_fp16=False)
        return
    import onnx
    from onnxruntime.tools.onnx_model_utils import (
        fix_output_shapes,
        make_input_shape_fixed,
    )

    model = onnx.load(source)
    if shape:
        make_input_shape_fixed(model.graph, INPUT, shape)
        fix_output_shapes(model)
    onnx.helper.set_model_props(model, notes)
    onnx.save(model, target)
