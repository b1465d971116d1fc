"""The demo scenes of ``convnext-backbone make-demo-data``: background and shapes."""

_base_ = 'crops_256.py'

data_root = 'data/demo/'
metainfo = dict(
    classes=('background', 'disk', 'ring', 'box', 'triangle', 'star', 'cross'),
    palette=[
        (70, 70, 78),
        (230, 74, 64),
        (64, 132, 236),
        (250, 188, 46),
        (52, 176, 96),
        (160, 92, 214),
        (28, 190, 200),
    ],
)
dataset = dict(data_root=data_root, metainfo=metainfo, img_suffix='.png')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(
        type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']
    ),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale_factor=r, keep_ratio=True)
                for r in _base_.tta_ratios
            ],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]
train_dataloader = dict(dataset=dict(dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader
