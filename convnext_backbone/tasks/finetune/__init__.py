"""From a folder of images to a trained model, without editing a config.

``default_weights.py``  the base -> what to start from
``recipe.py``           the base and the data's numbers -> how to train
``plan.py``             all that goes into the config
``config_text.py``      a plan -> the config's text; ``detection.py`` and
                        ``segmentation.py`` know what is theirs,
                        ``config_code.py`` writes Python
``run.py``              all of it, and what was done before: :func:`finetune`
======================  =====================================================
=======
=======================  ====================================================
``default_weights.py``   the base config -> the weights to start from
``recipe.py``            the base config and the data's numbers -> how to train
``plan.py``              everything that the config is written from
``config_text.py``       a plan -> the text of the config; the parts of
                         detectors are in ``detector_config.py``, those of
                         segmentors in ``segmentor_config.py``
``config_code.py``       Python values -> code
``run.py``               all of it, or its continuation: :func:`finetune`
=======================  ====================================================
"""

from convnext_backbone.tasks.finetune.run import finetune

__all__ = ['finetune']
