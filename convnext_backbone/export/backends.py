"""The optional packages that export needs, found or asked for."""

import functools
import importlib.util
import sys
from typing import TYPE_CHECKING

from convnext_backbone.foundation.errors import UserError

if TYPE_CHECKING:
    import openvino

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
        UserError: A package is not installed.
    """
    missing = [name for name in PACKAGES[kind] if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f'format {kind} needs {", ".join(missing)}, which is not installed: '
            f"pip install 'convnext_backbone[export]'"
        )
    sys.modules.setdefault('openvino_telemetry', None)


@functools.cache
def openvino_core() -> 'openvino.Core':
    """Return the one core of OpenVINO in this process.

    Its CPU engine installs a signal stack when it is made and puts the last one back
    when it goes, whoever may have freed that meanwhile: with several engines, the next
    signal, be it a worker's end, kills the process. One core has one engine.
    """
    require('openvino')
    import openvino

    return openvino.Core()


def kind_of(path: str) -> str:
    """Return the format of an exported file by its suffix.

    Raises:
        UserError: It has the suffix of none.
    """
    for kind, suffix in SUFFIXES.items():
        if str(path).endswith(suffix):
            return kind
    raise UserError(
        f'{path} is no exported model: expected {" or ".join(SUFFIXES.values())}'
    )
