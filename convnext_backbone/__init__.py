"""ConvNeXt V1 and V2 as a backbone for OpenMMLab detectors and segmentors.

Importing the package is cheap: it needs neither torch nor OpenMMLab. It only makes sure
that ``mmcv.ops`` can be imported where mmcv has no compiled ops, that mmengine reads
checkpoints without running code, and that configs are found by name. Models, hooks and
constructors are registered when a config first asks for one.

==================  =========================================================
``backbone/``       ConvNeXt, its block, layer-wise learning-rate decay
``checkpoints/``    what the user wrote -> weights in the model
``openmmlab/``      what makes mmengine, mmcv, mmdet and mmseg run here
``config/``         configs: found, read, checked
``inspect_config/`` what a config costs, and how it learns
``datasets/``       users' data: formats, checks, splits, conversion
``demo_scenes/``    the data of the demo, drawn from a seed
``results/``        predictions as JSON and as pictures
``tasks/``          what the commands do: train, evaluate, infer, fine-tune, report
``export/``         models as files of other runtimes
``benchmark/``      ours against others, in time and memory
``cli/``            the command line
``foundation/``     the user's errors, caches, JSON files
``registry.py``     our nodes in mmengine's registry tree
==================  =========================================================
"""

import importlib
from typing import TYPE_CHECKING

from convnext_backbone.config import names
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.missing import opencv_advice
from convnext_backbone.openmmlab import import_patches, mmcv_ext, safe_loading

if TYPE_CHECKING:
    from convnext_backbone.backbone.convnext import ConvNeXt
    from convnext_backbone.backbone.optim_constructor import (
        LayerDecayOptimWrapperConstructor,
    )

__version__ = '0.2.0'
__all__ = ['ConvNeXt', 'LayerDecayOptimWrapperConstructor', 'UserError']

_LAZY = {  # public names whose modules load torch
    'ConvNeXt': 'convnext_backbone.backbone.convnext',
    'LayerDecayOptimWrapperConstructor': 'convnext_backbone.backbone.optim_constructor',
}

import_patches.explain_failure('cv2', opencv_advice)
mmcv_ext.install()
safe_loading.install()
names.install()


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """List the public names too."""
    return sorted({*globals(), *_LAZY})
