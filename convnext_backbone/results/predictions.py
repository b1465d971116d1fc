"""Predictions as plain JSON, the same for evaluation and inference."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from pycocotools import mask as rle

from convnext_backbone.foundation.json_files import write_json
from convnext_backbone.registry import METRICS


def to_json(sample: dict, classes: Sequence[str]) -> dict:
    """Convert a predicted data sample of mmdet or mmseg.

    Args:
        sample: A data sample's ``to_dict()``, in the pixels of the original image.
        classes: Class names in label order.

    Returns:
        ``image``, ``height`` and ``width`` in pixels, and for a detector
        ``instances``: a list of ``category``, ``score``, ``bbox`` (x, y, width,
        height) and, where it predicts masks, ``segmentation`` (COCO's compressed
        RLE), best first; for a segmentor ``segments``: the same without score and
        box, one for each class found, with its ``pixels``.
    """
    height, width = map(int, sample['ori_shape'][:2])
    entry = {'image': sample['img_path'], 'height': height, 'width': width}
    if 'pred_sem_seg' in sample:
        # Of a single sigmoid they are 0.0 and 1.0.
        labels = np.asarray(sample['pred_sem_seg']['data'].cpu())[0].astype(int)
        entry['segments'] = [
            {
                'category': classes[label],
                'pixels': int((labels == label).sum()),
                'segmentation': encode(labels == label),
            }
            for label in np.unique(labels)
        ]
        return entry
    predicted = sample['pred_instances']
    boxes = predicted['bboxes'].cpu().double().numpy()
    scores = predicted['scores'].cpu().double().numpy()
    labels = predicted['labels'].cpu().numpy()
    masks = predicted.get('masks')
    entry['instances'] = []
    for i in np.argsort(-scores, kind='stable'):
        x1, y1, x2, y2 = boxes[i]
        instance = {
            'category': classes[labels[i]],
            'score': round(float(scores[i]), 5),
            'bbox': [round(float(v), 2) for v in (x1, y1, x2 - x1, y2 - y1)],
        }
        if masks is not None:
            instance['segmentation'] = encode(np.asarray(masks[i].cpu()))
        entry['instances'].append(instance)
    return entry


def encode(mask: np.ndarray) -> dict:
    """Encode a boolean mask (H, W) as COCO's compressed RLE, JSON-ready."""
    encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': list(encoded['size']), 'counts': encoded['counts'].decode()}


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Writes all predictions of an evaluation into one JSON file.

    Args:
        path: The file; a list of what :func:`to_json` returns.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Convert a batch of predictions."""
        for sample in data_samples:
            self.results.append(to_json(sample, self.dataset_meta['classes']))

    def compute_metrics(self, results: list) -> dict:
        """Write the file; there is nothing to measure."""
        write_json(self.path, results)
        MMLogger.get_current_instance().info(f'Predictions written to {self.path}')
        return {}
