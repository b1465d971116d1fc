"""Draws ground truth beside prediction while a model is evaluated."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
from mmengine.dist import is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.logging import MMLogger

from convnext_backbone.foundation.files import make_folder
from convnext_backbone.foundation.png import write_png
from convnext_backbone.registry import HOOKS
from convnext_backbone.results import drawing
from convnext_backbone.results.names import image_folder, name_below

SHEET_PAIRS = 16


@HOOKS.register_module()
class ShowResultsHook(Hook):
    """Draws ground truth beside prediction for every image of a test run.

    Args:
        out_dir: Receives ``images/``, one PNG for each image, in the folders that the
            image has below its data set's image folder; and, at the end,
            ``contact_sheet.png``, which shows images spread over the data set.
        score_thr: Least score of an instance to draw.

    Raises:
        UserError: During the test run, when ``out_dir`` cannot be written.
    """

    def __init__(self, out_dir: str, score_thr: float = 0.3) -> None:
        self.out_dir = Path(out_dir)
        self.score_thr = score_thr
        self.sheet: list[list] = []

    def before_test(self, runner) -> None:
        """Choose the images of the contact sheet."""
        self.folder = image_folder(runner.test_dataloader.dataset)
        make_folder(self.out_dir / 'images')
        total = len(runner.test_dataloader.sampler)  # of this process
        count = min(SHEET_PAIRS, total)
        self.chosen = {round(i * (total - 1) / max(1, count - 1)) for i in range(count)}
        self.seen = 0

    def after_test_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Draw the images of a batch."""
        assert outputs is not None  # mmengine's test loop passes them
        meta = runner.test_dataloader.dataset.metainfo
        for output in outputs:
            sample = output.to_dict()
            image = mmcv.imread(sample['img_path'])
            pair = [
                drawing.draw_sample(
                    image,
                    sample,
                    which,
                    meta['classes'],
                    meta.get('palette'),
                    self.score_thr,
                )
                for which in ('gt', 'pred')
            ]
            name = name_below(sample['img_path'], self.folder)
            # Its suffix is kept: a.jpg and a.png may both be there.
            write_png(self.out_dir / 'images' / f'{name}.png', cv2.hconcat(pair))
            if self.seen in self.chosen and is_main_process():
                self.sheet.append(pair)
            self.seen += 1

    @master_only
    def after_test(self, runner) -> None:
        """Write the contact sheet."""
        pairs = [self.sheet[i : i + 2] for i in range(0, len(self.sheet), 2)]
        rows = [list(itertools.chain.from_iterable(pair)) for pair in pairs]
        sheet = drawing.contact_sheet(rows, ('ground truth', 'prediction'))
        path = self.out_dir / 'contact_sheet.png'
        write_png(path, sheet)
        MMLogger.get_current_instance().info(f'Contact sheet written to {path}')
