"""Runs an exported model on PyTorch's tensors."""

from pathlib import Path

import torch
from torch import Tensor

from convnext_backbone.export.backends import kind_of, openvino_core, require
from convnext_backbone.foundation.errors import UserError


class ExportedModel:
    """A model that ``tools/export.py`` wrote, run on the CPU by its own engine.

    .. code-block:: python

        from convnext_backbone.export import ExportedModel

        model = ExportedModel('model.onnx')  # or model.xml
        outputs = model(images)  # float32 (N, C, H, W), raw: 0..255

    Numbers are those of fp32 on every machine: OpenVINO would compute in bf16 where
    the processor can.

    Args:
        path: The ``.onnx``, or the ``.xml`` beside its ``.bin``.
        threads: To compute with; as many as PyTorch's by default.

    Attributes:
        notes: What the file says of itself: ``task``, ``input``, ``channels``,
            ``outputs`` and more.

    Raises:
        UserError: There is no such file, it is of another kind, or the package that
            runs it is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        kind = kind_of(str(path))
        if not Path(path).is_file():
            raise UserError(f'{path} does not exist: give what tools/export.py wrote')
        require(kind)
        engine = _OnnxRuntime if kind == 'onnx' else _OpenVINO
        self._engine = engine(str(path), threads or torch.get_num_threads())
        self.notes: dict[str, str] = self._engine.notes

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of images.

        Args:
            images: (N, C, H, W), values 0..255, channels in the order that
                ``notes['channels']`` says. H and W are those of the file, or multiples
                of 32 where its sizes are dynamic.

        Returns:
            Logits (N, K, H, W), or the maps of the neck; float32, on the device of
            ``images``.
        """
        array = images.detach().float().cpu().contiguous().numpy()
        return tuple(
            torch.from_numpy(out).to(images.device) for out in self._engine.run(array)
        )


class _OnnxRuntime:
    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Idle threads would take the cores from what runs next.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        self.session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider']
        )
        self.name = self.session.get_inputs()[0].name
        self.notes = dict(self.session.get_modelmeta().custom_metadata_map)

    def run(self, array) -> list:
        return self.session.run(None, {self.name: array})


class _OpenVINO:
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

    def run(self, array) -> list:
        results = self.request.infer([array], share_inputs=True, share_outputs=False)
        return list(results.values())
