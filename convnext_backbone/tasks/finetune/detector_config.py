"""The parts of a fine-tuning's config that only detectors have."""

from convnext_backbone.tasks.finetune.config_code import Expression, assignments
from convnext_backbone.tasks.finetune.plan import Plan


def metric(plan: Plan) -> str:
    """Return the name of the metric by which the best checkpoint is chosen."""
    return 'coco/segm_mAP' if plan.recipe.masks else 'coco/bbox_mAP'


def data(plan: Plan) -> str:
    """Write pipelines, data sets, data loaders and metric."""
    masks = plan.recipe.masks
    load = dict(type='LoadAnnotations', with_bbox=True, with_mask=masks)
    test = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=Expression('image_scale'), keep_ratio=True),
        load,
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
        ),
    ]
    common = dict(
        _delete_=True,
        type='CocoDataset',
        data_root=Expression('data_root'),
        data_prefix=dict(img=Expression('images')),
        metainfo=Expression('metainfo'),
    )
    train_set = dict(
        common,
        ann_file='train.json',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=Expression('train_pipeline'),
    )
    val_set = dict(
        common,
        ann_file='val.json',
        test_mode=True,
        pipeline=Expression('test_pipeline'),
    )
    evaluator = dict(
        type='CocoMetric',
        ann_file=Expression("data_root + 'val.json'"),
        metric=['bbox', 'segm'] if masks else 'bbox',
    )
    return assignments(
        {
            **plan.loaders(_train_pipeline(plan, load), test, train_set, val_set),
            'val_evaluator': dict(_delete_=True, **evaluator),
            'test_evaluator': Expression('val_evaluator'),
        }
    )


def _train_pipeline(plan: Plan, load: dict) -> list[dict]:
    """Return the training pipeline: images, ``load``, the recipe's augmentations."""
    recipe = plan.recipe
    jitter = dict(
        type='RandomResize',
        scale=Expression('image_scale'),
        ratio_range=recipe.ratio_range,
        keep_ratio=True,
    )
    steps: list[dict] = [dict(type='LoadImageFromFile'), load, jitter]
    if recipe.crop:
        side = max(recipe.scale)
        steps += [
            dict(type='RandomCrop', crop_size=(side, side), recompute_bbox=True),
            dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1)),
        ]
    steps.append(plan.flip())
    if recipe.photometric:
        steps.append(dict(type='PhotoMetricDistortion'))
    return [*steps, dict(type='PackDetInputs')]


def model(plan: Plan) -> dict:
    """Return the changes to the base's model: no mask head, smaller anchors."""
    base = plan.base.model
    changes: dict[str, object] = {}
    roi_head = base.get('roi_head') or {}
    if roi_head.get('mask_head') and not plan.recipe.masks:
        if base.type == 'MaskRCNN':
            changes['type'] = 'FasterRCNN'
        changes['data_preprocessor'] = dict(pad_mask=False)
        changes['roi_head'] = dict(mask_roi_extractor=None, mask_head=None)
    anchors = (base.get('rpn_head') or {}).get('anchor_generator') or {}
    if plan.recipe.small_anchors and list(anchors.get('scales') or []) == [8]:
        changes['rpn_head'] = dict(anchor_generator=dict(scales=[4]))
    return changes
