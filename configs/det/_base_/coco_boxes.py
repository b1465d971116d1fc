"""COCO 2017 for detectors without masks."""

_base_ = 'coco.py'

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(step, with_mask=False) if 'with_mask' in step else step
            for step in _base_.train_dataloader.dataset.pipeline
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(step, with_mask=False) if 'with_mask' in step else step
            for step in _base_.val_dataloader.dataset.pipeline
        ]
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
