"""The heart: ConvNeXt V1 and V2, and learning rates that fall with depth.

==================  =========================================================
``archs.py``        the published archs, and which arguments are valid
``convnext.py``     layers and model
``block/``          a block's forward and backward pass
``init_cfg.py``     where a config says that the weights come from
``layer_decay.py``  parameter name and depths -> step between stem and heads
==================  =========================================================

``optim_constructor.py`` makes the optimizer's parameter groups of those steps, and
``group_table.py`` lists them as text.
"""
