"""Runs an exported model on PyTorch's tensors."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convnext_backbone.export.backends import kind_of, openvino_core, require
from convnext_backbone.foundation.errors import UserError


class ExportedModel:
    """A file of ``convnext-backbone export``, run on the CPU by its inference engine.

    .. code-block:: python

        from convnext_backbone.export import ExportedModel

        model = ExportedModel('model.onnx')  # or model.xml
        outputs = model(images)  # float32 (N, C, H, W), raw: 0..255

    It computes in fp32 on every machine; by itself, OpenVINO would use bf16 where the
    processor supports it.

    Args:
        path: The ``.onnx`` file, or the ``.xml`` file beside its ``.bin``.
        threads: Number of threads, by default as many as PyTorch uses.

    Attributes:
        notes: What the file states of itself: ``task``, ``input``, ``channels``,
            ``outputs`` and more.

    Raises:
        UserError: There is no such file, it is damaged or of another kind, or the
            package that runs it is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        kind = kind_of(str(path))
        if not Path(path).is_file():
            raise UserError(
                f'{path} does not exist: give a file that convnext-backbone export '
                f'wrote'
            )
        require(kind)
        engine = _OnnxRuntime if kind == 'onnx' else _OpenVINO
        try:
            self._engine = engine(str(path), threads or torch.get_num_threads())
        except Exception as error:  # the engines' own errors have no common base
            reason = str(error).strip().partition('\n')[0]
            raise UserError(
                f'{path} cannot be read as a model of format {kind}: {reason}; export '
                f'the model again'
            ) from error
        self.notes: dict[str, str] = self._engine.notes

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the model on raw images.

        Args:
            images: (N, C, H, W), values 0..255, channels in the order that
                ``notes['channels']`` states. H and W are those of the file, or
                multiples of 32 if its size is dynamic.

        Returns:
            Logits (N, K, H, W), or the feature maps of the neck; float32, on the
            device of ``images``.
        """
        array = images.detach().float().cpu().contiguous().numpy()
        return tuple(
            torch.from_numpy(out).to(images.device) for out in self._engine.run(array)
        )


class _OnnxRuntime:
    """An ONNX file in ONNX Runtime."""

    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Threads that spin while idle would take the cores from what runs next.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self.session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider']
        )
        self.name = self.session.get_inputs()[0].name
        self.notes = dict(self.session.get_modelmeta().custom_metadata_map)

    def run(self, array: np.ndarray) -> list[np.ndarray]:
        return self.session.run(None, {self.name: array})


class _OpenVINO:
    """An OpenVINO file in its CPU plugin."""

    def __init__(self, path: str, threads: int) -> None:
        core = openvino_core()
        model = core.read_model(path)
        section = 'convnext_backbone'
        self.notes = (
            dict(model.get_rt_info(section).value) if model.has_rt_info(section) else {}
        )
        options = {
            'INFERENCE_PRECISION_HINT': 'f32',
            'INFERENCE_NUM_THREADS': threads,
            'PERFORMANCE_HINT': 'LATENCY',
        }
        self.request = core.compile_model(model, 'CPU', options).create_infer_request()

    def run(self, array: np.ndarray) -> list[np.ndarray]:
        results = self.request.infer([array], share_inputs=True, share_outputs=False)
        return list(results.values())
