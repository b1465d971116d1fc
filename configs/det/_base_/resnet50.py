"""ResNet-50 as the detectors' baselines have it: torchvision's weights, stem frozen.

A leaf puts ``_base_.backbone`` in the place of ConvNeXt.
"""

backbone = dict(
    type='ResNet',
    depth=50,
    num_stages=4,
    out_indices=(0, 1, 2, 3),
    frozen_stages=1,
    norm_cfg=dict(type='BN', requires_grad=True),
    norm_eval=True,
    style='pytorch',
    init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
)
