"""ConvNeXt V1 and V2 as a backbone for OpenMMLab detectors and segmentors.

Importing the package is cheap: it needs neither torch nor OpenMMLab. It only
makes sure that ``mmcv.ops`` can be imported where mmcv has no compiled ops
(see :mod:`convnext_backbone.mmcv_ops`); models, hooks and constructors are
registered when a config first asks for one.
"""

from convnext_backbone import config_files, mmcv_ops, safe_mmengine

__version__ = '0.2.0'

mmcv_ops.install()
safe_mmengine.install()
config_files.install()
