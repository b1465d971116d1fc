"""Mask2Former's 160k iterations: fp32, clipped gradients, no warm-up.

Where mmseg gives backbones a tenth of the learning rate, ConvNeXt keeps the decay by
stage of its UperNet recipe.
"""

_base_ = 'schedule_160k.py'

param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=160000)
]
optim_wrapper = dict(
    type='OptimWrapper',
    clip_grad=dict(max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            'query_embed': dict(decay_mult=0.0),
            'query_feat': dict(decay_mult=0.0),
            'level_embed': dict(decay_mult=0.0),
        }
    ),
)
