"""Trained models as ONNX or OpenVINO files: converted, checked, quantised, timed.

=====================  ======================================================
``export_model.py``    :func:`export`: all steps, in order
``exported_model.py``  :class:`ExportedModel` runs an exported file
``engines.py``         what runs a file: ONNX Runtime, OpenVINO
``image_model.py``     the part that is exported: raw images -> logits or
                       feature maps; ``rewrite.py`` replaces its modules by
                       forms that inference engines run faster
``convert.py``         a PyTorch module -> an ONNX or OpenVINO file
``quantize.py``        an fp32 file -> an int8 file
``images.py``          images to check and calibrate with; the input size
``compare.py``         differences between the outputs and PyTorch's
``timing.py``          milliseconds an image, of several models in turn
``accuracy.py``        AP or mIoU with the exported part in the model
``output_files.py``    where files are written, and that none is lost
``summary.py``         what the command prints
``backends.py``        the optional packages of each format
=====================  ======================================================
"""

from convnext_backbone.export.export_model import (
    CALIBRATION_IMAGES,
    ExportOptions,
    export,
)
from convnext_backbone.export.exported_model import ExportedModel

__all__ = ['CALIBRATION_IMAGES', 'ExportOptions', 'ExportedModel', 'export']
