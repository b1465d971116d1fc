"""Pipelines and loaders for small models in crops of 256, batch 4, ADE20K's layout.

A data set's own file inherits this one and adds its root and classes.
"""

_base_ = 'ade20k.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(
        type='RandomResize',
        scale=(1024, 1024),
        ratio_range=(0.75, 1.5),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=(256, 256), cat_max_ratio=0.75),
    dict(
        type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']
    ),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1024, 1024), keep_ratio=True),
    dict(type='LoadAnnotations', reduce_zero_label=True),  # keeps its own size
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(
                    type='Resize', scale=(int(1024 * r), int(1024 * r)), keep_ratio=True
                )
                for r in _base_.tta_ratios
            ],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]
dataset = dict(type='BaseSegDataset', reduce_zero_label=True)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(dataset, pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=2, dataset=dict(dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader
