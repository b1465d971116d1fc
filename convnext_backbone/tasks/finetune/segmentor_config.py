"""The parts of a fine-tuning's config that only segmentors have."""

from convnext_backbone.tasks.finetune.config_code import Expression, assignments
from convnext_backbone.tasks.finetune.plan import Plan

TTA = """
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(
                    type='Resize',
                    scale=tuple(int(side * r) for side in image_scale),
                    keep_ratio=True,
                )
                for r in _base_.tta_ratios
            ],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]
"""


def metric(plan: Plan) -> str:
    """Return the name of the metric by which the best checkpoint is chosen."""
    return 'mIoU'


def crop_size(plan: Plan) -> tuple[int, int]:
    """Return height and width of the base's crop, reduced to the size of the images."""
    size = (plan.base.model.get('data_preprocessor') or {}).get('size') or (512, 512)
    side = max(64, min(plan.recipe.scale) // 32 * 32)
    height, width = size
    return min(side, height), min(side, width)


def data(plan: Plan) -> str:
    """Write pipelines, data sets and data loaders.

    Masks are numbered as those of ADE20K: 0 is not labelled, 1 is the first class.
    """
    recipe = plan.recipe
    load = dict(type='LoadAnnotations', reduce_zero_label=True)
    train = [
        dict(type='LoadImageFromFile'),
        load,
        dict(
            type='RandomResize',
            scale=Expression('image_scale'),
            ratio_range=recipe.ratio_range,
            keep_ratio=True,
        ),
        dict(type='RandomCrop', crop_size=crop_size(plan), cat_max_ratio=0.75),
        plan.flip(),
        *([dict(type='PhotoMetricDistortion')] if recipe.photometric else []),
        dict(type='PackSegInputs'),
    ]
    test = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=Expression('image_scale'), keep_ratio=True),
        load,
        dict(type='PackSegInputs'),
    ]
    common = dict(
        _delete_=True,
        type='BaseSegDataset',
        data_root=Expression('data_root'),
        data_prefix=dict(img_path=Expression('images'), seg_map_path='masks'),
        img_suffix='',
        seg_map_suffix='.png',
        reduce_zero_label=True,
        metainfo=Expression('metainfo'),
    )
    train_set = dict(
        common, ann_file='train.txt', pipeline=Expression('train_pipeline')
    )
    val_set = dict(common, ann_file='val.txt', pipeline=Expression('test_pipeline'))
    text = assignments(plan.loaders(train, test, train_set, val_set))
    return text + (TTA if plan.base.get('tta_ratios') else '')


def model(plan: Plan) -> dict:
    """Return the changes to the base's model: the crop size, in training and test."""
    size = crop_size(plan)
    preprocessor = plan.base.model.get('data_preprocessor') or {}
    if tuple(preprocessor.get('size') or size) == size:
        return {}
    changes: dict[str, dict] = {'data_preprocessor': dict(size=size)}
    if (plan.base.model.get('test_cfg') or {}).get('mode') == 'slide':
        stride = tuple(side * 2 // 3 for side in size)
        changes['test_cfg'] = dict(crop_size=size, stride=stride)
    return changes
