"""The optional packages that export needs, found or asked for."""

import importlib.util
import sys

PACKAGES = {
    'onnx': ('onnx', 'onnxscript', 'onnxruntime'),
    'openvino': ('openvino', 'nncf'),
}
SUFFIXES = {'onnx': '.onnx', 'openvino': '.xml'}


def require(kind: str) -> None:
    """Make sure that the packages of a format are there, and that they send nothing.

    OpenVINO and NNCF report their use to their makers through a package of its own,
    unless that cannot be imported.

    Args:
        kind: A key of :data:`PACKAGES`.

    Raises:
        ValueError: A package is not installed.
    """
    missing = [name for name in PACKAGES[kind] if not importlib.util.find_spec(name)]
    if missing:
        raise ValueError(
            f'format {kind} needs {", ".join(missing)}, which is not installed: '
            f"pip install 'convnext_backbone[export]'"
        )
    sys.modules.setdefault('openvino_telemetry', None)


def kind_of(path: str) -> str:
    """Return the format of an exported file by its suffix.

    Raises:
        ValueError: It has the suffix of none.
    """
    for kind, suffix in SUFFIXES.items():
        if str(path).endswith(suffix):
            return kind
    raise ValueError(
        f'{path} is no exported model: expected {" or ".join(SUFFIXES.values())}'
    )
