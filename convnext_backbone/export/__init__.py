"""Trained models as files of ONNX and OpenVINO, checked, timed and quantised.

=================  ==========================================================
``running.py``     :func:`export`: all of it, in order
``exported.py``    :class:`ExportedModel` runs what was written
``graph.py``       what is exported: raw images -> logits or maps;
                   ``rewrite.py`` has the form that engines run fastest
``convert.py``     a module -> a file; ``quantize.py`` a file -> one of int8
``images.py``      images to check and calibrate with, and their size
``compare.py``     differences from PyTorch, and time
``evaluation.py``  AP or mIoU with the exported part in the model
``output.py``      where files go; ``summary.py`` what is printed
``backends.py``    the optional packages
=================  ==========================================================
"""

from convnext_backbone.export.export_model import CALIBRATION_IMAGES, export
from convnext_backbone.export.exported_model import ExportedModel

__all__ = ['CALIBRATION_IMAGES', 'ExportedModel', 'export']
