"""The inference engines that run exported files on the CPU."""

from typing import Protocol

import numpy as np

from convnext_backbone.export.backends import openvino_core

Shape = tuple[int | None, ...]  # (N, C, H, W), None for what may vary


class Engine(Protocol):
    """An engine that has loaded a file.

    Attributes:
        notes: What the file states of itself.
        shape: The shape of its input.
    """

    notes: dict[str, str]
    shape: Shape

    def run(self, array: np.ndarray) -> list[np.ndarray]:
        """Compute the outputs, float32, of an input that has the file's shape.

        No later call changes the arrays that are returned.
        """


class OnnxRuntime:
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
        model_input = self.session.get_inputs()[0]
        self.name = model_input.name
        # A side that may vary has a name, or none.
        self.shape: Shape = tuple(
            side if isinstance(side, int) else None for side in model_input.shape
        )
        self.notes = dict(self.session.get_modelmeta().custom_metadata_map)

    def run(self, array: np.ndarray) -> list[np.ndarray]:
        """Compute the outputs."""
        return self.session.run(None, {self.name: array})


class OpenVINO:
    """An OpenVINO file in its CPU plugin."""

    def __init__(self, path: str, threads: int) -> None:
        core = openvino_core()
        model = core.read_model(path)
        section = 'convnext_backbone'
        self.notes = (
            dict(model.get_rt_info(section).value) if model.has_rt_info(section) else {}
        )
        self.shape: Shape = tuple(
            None if side.is_dynamic else side.get_length()
            for side in model.inputs[0].partial_shape
        )
        options = {
            'INFERENCE_PRECISION_HINT': 'f32',
            'INFERENCE_NUM_THREADS': threads,
            'PERFORMANCE_HINT': 'LATENCY',
        }
        self.model = core.compile_model(model, 'CPU', options)

    def run(self, array: np.ndarray) -> list[np.ndarray]:
        """Compute the outputs.

        Each run has a request of its own (0.4 ms). One that is used again returns the
        outputs of the run before, without an error, where it cannot compute new ones.
        """
        request = self.model.create_infer_request()
        results = request.infer([array], share_inputs=True, share_outputs=False)
        return list(results.values())


ENGINES: dict[str, type[OnnxRuntime] | type[OpenVINO]] = {
    'onnx': OnnxRuntime,
    'openvino': OpenVINO,
}
