"""Predictions of a segmentor as a folder of label maps, as mmseg's tools read them."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from convnext_backbone.foundation.files import write_bytes
from convnext_backbone.registry import METRICS


@METRICS.register_module()
class DumpLabelMaps(BaseMetric):
    """Writes the predicted labels of each image as a PNG of one channel.

    The values are those that mmseg's IoUMetric writes with ``output_dir``: numbers of
    classes, plus 1 where the data set has ``reduce_zero_label``. With more than 255
    classes the files have 16 bits.

    Args:
        folder: Receives the files, named after the images, in the folders that these
            have below the one that holds them all. Where names differ in the suffix
            only, it stays in the name: ``a.jpg.png``.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = Path(folder)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Encode the labels of a batch."""
        # The largest value is the number of classes, with reduce_zero_label.
        few = len(self.dataset_meta['classes']) <= np.iinfo(np.uint8).max
        for sample in data_samples:
            labels = sample['pred_sem_seg']['data'].squeeze(0).cpu().numpy()
            labels = labels + bool(sample.get('reduce_zero_label'))
            _, encoded = cv2.imencode('.png', labels.astype('u1' if few else 'u2'))
            self.results.append((os.path.abspath(sample['img_path']), encoded))

    def compute_metrics(self, results: list[tuple[str, np.ndarray]]) -> dict:
        """Write the files; there is nothing to measure."""
        paths = [Path(path) for path, _ in results]
        parent = os.path.commonpath([path.parent for path in paths])
        short = Counter(path.with_suffix('') for path in paths)
        for path, (_, encoded) in zip(paths, results, strict=True):
            unique = short[path.with_suffix('')] == 1
            name = f'{path.stem if unique else path.name}.png'
            target = self.folder / path.parent.relative_to(parent) / name
            write_bytes(target, encoded.tobytes())
        MMLogger.get_current_instance().info(f'Label maps written to {self.folder}')
        return {}
