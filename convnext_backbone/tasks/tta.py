"""Test-time augmentation: one prediction from several views of an image.

mmdet merges boxes but does not support detectors with masks; here masks are merged too.
mmdet is imported where it is used, because this module is also loaded for mmseg alone.
"""

import copy
from collections.abc import Sequence

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel, BaseModule, BaseTTAModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn

from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab.compat import mask_logits
from convnext_backbone.registry import MODELS

# Factors of the test scale; each view is used unflipped and flipped. The first view is
# that of the plain test, from which ground truth and meta information are taken.
FACTORS = (1.0, 0.75, 1.25)
FLIPPED_DIMS = {None: [], 'horizontal': [-1], 'vertical': [-2], 'diagonal': [-2, -1]}


@MODELS.register_module()
class InstanceTTAModel(BaseTTAModel):
    """Merges the predictions of an mmdet detector for several views of an image.

    The boxes of all views, in the pixels of the original image, go through one NMS with
    the settings of the detector's ``test_cfg``. The mask head predicts the masks of the
    remaining boxes in every view, and the mean of its probabilities is pasted into the
    original image.

    Views may be resized and flipped, and batches may have any size. Masks are supported
    for StandardRoIHead and CascadeRoIHead. For other detectors only boxes are merged,
    after the detector's own NMS, so that Soft-NMS lowers their scores twice.

    The feature maps of all views are kept until the masks are computed. FPN with 256
    channels takes 85 bytes for each pixel of a view, which is half a gigabyte for a
    COCO image in six views around 1333x800.

    Args:
        module: The detector.
        data_preprocessor: Replaces the detector's, if given.

    Raises:
        UserError: The detector's ``test_cfg`` has no NMS.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        data_preprocessor: dict | nn.Module | None = None,
    ) -> None:
        super().__init__(module, data_preprocessor)
        self.in_steps = runs_in_steps(self.module)
        test_cfg = getattr(self.module, 'test_cfg', None) or {}
        self.test_cfg = test_cfg.get('rcnn', test_cfg)
        if 'nms' not in self.test_cfg:
            raise UserError(
                f'{type(self.module).__name__} has no nms in its test_cfg, with which '
                f'test-time augmentation merges boxes: set it there, such as '
                f"nms=dict(type='nms', iou_threshold=0.7)"
            )

    def test_step(self, data: dict) -> list[BaseDataElement]:
        """Predict a batch of images.

        Args:
            data: The collated output of TestTimeAug: for each key a list of views,
                which are lists of images.

        Returns:
            The data samples of the first view, with ``pred_instances`` in the pixels
            of the original image; ``masks`` are bool, (N, height, width).
        """
        if not self.in_steps:
            return super().test_step(data)
        features, found = [], []
        for view in zip(*data.values(), strict=True):
            view = self.module.data_preprocessor(dict(zip(data, view, strict=True)))
            features.append(self.module.extract_feat(view['inputs']))
            found.append(self._find_boxes(features[-1], view['data_samples']))
        samples = self.merge_preds(list(zip(*found, strict=True)))
        if self.module.with_mask:
            metas = [[sample.metainfo for sample in view] for view in found]
            self._add_masks(samples, features, metas)
        return samples

    def merge_preds(
        self, data_samples_list: Sequence[Sequence[BaseDataElement]]
    ) -> list[BaseDataElement]:
        """Merge the boxes of each image.

        Args:
            data_samples_list: For each image the data samples of its views.

        Raises:
            UserError: The detector predicts more than boxes.
        """
        merged = []
        for views in data_samples_list:
            sample = views[0]
            instances = sample.get('pred_instances')
            if instances is None or 'masks' in instances:
                raise UserError(
                    f'test-time augmentation cannot merge what '
                    f'{type(self.module).__name__} predicts, only boxes and the masks '
                    f'of StandardRoIHead and CascadeRoIHead: test it without --tta'
                )
            sample.pred_instances = merge_boxes(views, self.test_cfg)
            merged.append(sample)
        return merged

    def _find_boxes(
        self, features: tuple[Tensor, ...], samples: list[BaseDataElement]
    ) -> list[BaseDataElement]:
        """Predict the boxes of one view without NMS, in flipped original pixels."""
        proposals = self.module.rpn_head.predict(features, samples, rescale=False)
        found = self.module.roi_head.predict_bbox(
            features,
            [sample.metainfo for sample in samples],
            proposals,
            rcnn_test_cfg=ConfigDict(self.test_cfg, nms=None, max_per_img=-1),
            rescale=True,
        )
        for sample, instances in zip(samples, found, strict=True):
            sample.pred_instances = instances
        return samples

    def _add_masks(
        self,
        samples: list[BaseDataElement],
        features: list[tuple[Tensor, ...]],
        metas: list[list[dict]],
    ) -> None:
        """Add masks to merged boxes, from the feature maps of the views."""
        boxes = [sample.pred_instances.bboxes for sample in samples]
        counts = [len(b) for b in boxes]
        total = boxes[0].new_zeros(0)
        if any(counts):
            total = sum(
                self._mask_probabilities(x, boxes, view)
                for x, view in zip(features, metas, strict=True)
            ) / len(features)
        heads = self.module.roi_head.mask_head
        head: BaseModule = heads[-1] if isinstance(heads, nn.ModuleList) else heads
        pasted = head.predict_by_feat(
            total.split(counts),
            [sample.pred_instances for sample in samples],
            [{**sample.metainfo, 'scale_factor': (1.0, 1.0)} for sample in samples],
            rcnn_test_cfg=self.test_cfg,
            rescale=True,
            activate_map=True,
        )
        for sample, instances in zip(samples, pasted, strict=True):
            sample.pred_instances = instances

    def _mask_probabilities(
        self, features: tuple[Tensor, ...], boxes: list[Tensor], metas: list[dict]
    ) -> Tensor:
        """Predict the masks of all images' boxes in one view, (N, classes, h, w)."""
        from mmdet.structures.bbox import bbox2roi

        head = self.module.roi_head
        rois = bbox2roi(
            [
                flip_boxes(b, meta) * b.new_tensor(meta['scale_factor']).repeat(2)
                for b, meta in zip(boxes, metas, strict=True)
            ]
        )
        if isinstance(head.mask_head, nn.ModuleList):
            stages = [
                mask_logits(head, features, rois, stage).sigmoid()
                for stage in range(head.num_stages)
            ]
            masks = torch.stack(stages).mean(0)
        else:
            masks = mask_logits(head, features, rois, None).sigmoid()
        parts = masks.split([len(b) for b in boxes])
        return torch.cat(
            [
                part.flip(FLIPPED_DIMS[meta.get('flip_direction')])
                for part, meta in zip(parts, metas, strict=True)
            ]
        )


def runs_in_steps(model: BaseModel) -> bool:
    """Tell whether a detector predicts in the steps of mmdet's two-stage detectors."""
    from mmdet.models.detectors import TwoStageDetector
    from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead

    if type(model).predict is not TwoStageDetector.predict or not model.with_rpn:
        return False
    head = type(model.roi_head)
    steps = ('predict', 'predict_bbox', 'predict_mask')
    return any(
        all(getattr(head, step) is getattr(known, step) for step in steps)
        for known in (StandardRoIHead, CascadeRoIHead)
    )


def merge_boxes(views: Sequence[BaseDataElement], test_cfg: dict) -> InstanceData:
    """Merge the boxes that were predicted for the views of an image.

    Args:
        views: Data samples; their ``pred_instances`` are in the pixels of the original
            image, or of that image flipped as ``flip_direction`` says.
        test_cfg: Has ``nms`` and ``max_per_img``.

    Returns:
        ``bboxes``, ``scores`` and ``labels``, the best first.
    """
    from mmcv.ops import batched_nms

    boxes = [flip_boxes(view.pred_instances.bboxes, view.metainfo) for view in views]
    merged = InstanceData(
        bboxes=torch.cat(boxes),
        scores=torch.cat([view.pred_instances.scores for view in views]),
        labels=torch.cat([view.pred_instances.labels for view in views]),
    )
    if len(merged):
        kept, indices = batched_nms(
            merged.bboxes, merged.scores, merged.labels, test_cfg['nms']
        )
        merged = merged[indices]
        merged.scores = kept[:, -1]  # Soft-NMS lowers them
    limit = test_cfg['max_per_img']
    return merged[:limit] if limit > 0 else merged


def flip_boxes(boxes: Tensor, meta: dict) -> Tensor:
    """Flip boxes in original pixels as a view is flipped; twice restores them."""
    from mmdet.structures.bbox import bbox_flip

    direction = meta.get('flip_direction')  # None in an unflipped view
    return bbox_flip(boxes, meta['ori_shape'], direction) if direction else boxes


def add_tta(cfg: Config) -> None:
    """Change a config, in place, to test with augmentation.

    Its ``tta_model`` and ``tta_pipeline`` are used if it has them, as in mmdet and
    mmseg. Without them, a detector is tested at :data:`FACTORS` times the scale of its
    test pipeline, each unflipped and flipped.

    Raises:
        UserError: The config is not for a detector and has no ``tta_pipeline``, or its
            test pipeline does not resize.
    """
    model, pipeline = cfg.get('tta_model'), cfg.get('tta_pipeline')
    if cfg.get('default_scope') != 'mmdet' and not (model and pipeline):
        raise UserError(
            f'config {cfg.filename} has no tta_model and tta_pipeline, which '
            f'segmentors need for test-time augmentation: add them as in '
            f'configs/seg/_base_/'
        )
    for dataset in iter_datasets(cfg.test_dataloader):
        dataset['pipeline'] = copy.deepcopy(pipeline) or view_pipeline(
            dataset.get('pipeline') or [], cfg.filename
        )
    model = model or dict(type='convnext_backbone.InstanceTTAModel')
    cfg.model = ConfigDict(model, module=cfg.model)


def view_pipeline(pipeline: Sequence[dict], filename: str | None) -> list[dict]:
    """Derive a pipeline of several views from a detector's plain test pipeline.

    Annotations are loaded for the first view only, because the masks of hundreds of
    objects would take more memory than everything else.

    Raises:
        UserError: The pipeline has no Resize; the message names the config's file.
    """
    kinds = [str(step['type']).rpartition('.')[2] for step in pipeline]
    if 'Resize' not in kinds:
        raise UserError(
            f'config {filename}: the test pipeline has no Resize for test-time '
            f'augmentation to vary; add dict(type="Resize", scale_factor=1.0, '
            f'keep_ratio=True) after LoadImageFromFile'
        )
    at = kinds.index('Resize')
    views: list[dict] = []
    for factor in FACTORS:
        for prob in (0.0, 1.0):
            steps = [scaled(pipeline[at], factor), dict(type='RandomFlip', prob=prob)]
            for step in pipeline[at + 1 :]:
                if 'meta_keys' in step:
                    keys = (*step['meta_keys'], 'flip', 'flip_direction')
                    step = dict(step, meta_keys=tuple(dict.fromkeys(keys)))
                if not views or 'Annotations' not in str(step['type']):
                    steps.append(copy.deepcopy(step))
            views.append(dict(type='Compose', transforms=steps))
    return [*pipeline[:at], dict(type='TestTimeAug', transforms=[views])]


def scaled(resize: dict, factor: float) -> dict:
    """Return the config of a Resize to ``factor`` times the size."""
    key = 'scale' if resize.get('scale') else 'scale_factor'
    size = resize[key]
    sides = size if isinstance(size, list | tuple) else (size, size)
    sides = [side * factor for side in sides]
    return {**resize, key: tuple(map(round, sides) if key == 'scale' else sides)}
