"""The formats, and the optional packages that each of them needs."""

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
    """Check that the packages of a format are installed, and disable telemetry.

    OpenVINO and NNCF report their use through the package ``openvino_telemetry``, and
    do without it where it cannot be imported.

    Args:
        kind: A key of :data:`PACKAGES`.

    Raises:
        UserError: A package is not installed.
    """
    missing = [name for name in PACKAGES[kind] if not importlib.util.find_spec(name)]
    if missing:
        raise UserError(
            f'format {kind} needs {", ".join(missing)}, which is not installed: run '
            f"pip install 'convnext_backbone[export]'"
        )
    # None in place of a module keeps it from being imported; typeshed does not say so.
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]


@functools.cache
def openvino_core() -> 'openvino.Core':
    """Return the only OpenVINO core of this process.

    Each core loads a CPU plugin, which installs an alternate signal stack and restores
    the previous one when it is destroyed, even if that has been freed meanwhile. With
    several plugins, the next signal, such as that of a worker that ends, would kill the
    process.
    """
    require('openvino')
    import openvino

    return openvino.Core()


def kind_of(path: str) -> str:
    """Return the format of an exported file by its suffix.

    Raises:
        UserError: No format has this suffix.
    """
    for kind, suffix in SUFFIXES.items():
        if str(path).endswith(suffix):
            return kind
    raise UserError(
        f'{path} is not an exported model: expected a file that ends in '
        f'{" or ".join(SUFFIXES.values())}'
    )
