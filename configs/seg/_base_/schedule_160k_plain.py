"""The 160k schedule without decay by stage, for backbones other than ConvNeXt.

No weight decay on norms and on Swin's positions, as in Swin's recipe.
"""

_base_ = 'schedule_160k.py'

optim_wrapper = dict(
    constructor='DefaultOptimWrapperConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        norm_decay_mult=0.0,
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        },
    ),
)
