"""What a checkpoint's source says of its weights beyond their numbers.

Activation, eps and the normalisation of the images are not in the weights, but with
others the same weights compute something else.

=======================  ====================================================
``values.py``            :class:`Stated`: activation, eps, mean, std, and who says so
``finding.py``           a checkpoint -> what its source states
``hugging_face.py``      ``config.json`` and ``preprocessor_config.json``
``timm_models.py``       timm's registry, its folders, and those of open_clip
``training_configs.py``  the config that mmengine and mmcv store in their files
``agreement.py``         a model that differs is an error; the report's words
=======================  ====================================================
"""

from convnext_backbone.checkpoints.stated.finding import (
    find_stated,
    stated_by,
    stated_by_name,
)
from convnext_backbone.checkpoints.stated.values import Stated

__all__ = ['Stated', 'find_stated', 'stated_by', 'stated_by_name']
