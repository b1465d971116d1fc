"""Swin-T as the detectors' baselines have it (arXiv 2103.14030).

A leaf puts ``_base_.backbone`` in the place of ConvNeXt.
"""

swin_url = (
    'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
    'swin_{}_patch4_window7_{}.pth'
)
backbone = dict(
    type='SwinTransformer',
    embed_dims=96,
    depths=[2, 2, 6, 2],
    num_heads=[3, 6, 12, 24],
    window_size=7,
    drop_path_rate=0.2,
    convert_weights=True,
    init_cfg=dict(type='Pretrained', checkpoint=swin_url.format('tiny', '224')),
)
