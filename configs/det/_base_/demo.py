"""The demo scenes of ``convnext-backbone make-demo-data``: six classes of shapes."""

_base_ = 'instances.py'

data_root = 'data/demo/'
metainfo = dict(
    classes=('disk', 'ring', 'box', 'triangle', 'star', 'cross'),
    palette=[
        (230, 74, 64),
        (64, 132, 236),
        (250, 188, 46),
        (52, 176, 96),
        (160, 92, 214),
        (28, 190, 200),
    ],
)
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/training/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/val.json',
        data_prefix=dict(img='images/validation/'),
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
