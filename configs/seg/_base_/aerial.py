"""Five classes of land from the air; 0 = unlabeled."""

_base_ = 'crops_256.py'

data_root = 'data/aerial/'
metainfo = dict(
    classes=('building', 'land', 'road', 'vegetation', 'water'),
    palette=[
        (60, 16, 152),
        (132, 41, 246),
        (110, 193, 228),
        (254, 221, 58),
        (226, 169, 41),
    ],
)
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
