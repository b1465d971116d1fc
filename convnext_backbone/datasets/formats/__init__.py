"""Recognises the format of a data set.

=====================  ======================================================
``coco.py``            the four formats of detection data; ``per_image.py`` has what
``voc.py``             three of them share, ``boxes.py`` what all of them do
``yolo.py``
``labelme.py``
``ade20k.py``          the three layouts of segmentation data; ``mask_pairs.py`` puts
``voc_masks.py``       images and masks together, ``class_files.py`` and
``masks.py``           ``mask_numbers.py`` find the classes, ``mask_legend.py`` says
                       what numbers and colours mean, ``mask_files.py`` reads masks
``coco_tables.py``     what a COCO json's tables must be, ``coco_segmentation.py``
                       its masks; ``yolo_config.py`` reads data.yaml
``layout.py``          image files, and folders named for splits
=====================  ======================================================
"""

from pathlib import Path

from convnext_backbone.datasets.formats import (
    ade20k,
    coco,
    labelme,
    masks,
    voc,
    voc_masks,
    yolo,
)
from convnext_backbone.datasets.records import Source
from convnext_backbone.foundation.errors import UserError

# Name -> task, and the module whose find() knows it. Of a task, the first wins.
FORMATS = {
    'coco': ('det', coco),
    'voc': ('det', voc),
    'yolo': ('det', yolo),
    'labelme': ('det', labelme),
    'ade20k': ('seg', ade20k),
    'voc-masks': ('seg', voc_masks),
    'masks': ('seg', masks),
}
LAYOUTS = """\
  coco       a json with images, annotations and categories, for each split
  voc        Annotations/*.xml and JPEGImages/
  yolo       data.yaml, images/ and labels/*.txt (boxes or polygons)
  labelme    a json beside each image
  ade20k     images/{training,validation} and annotations/{training,validation}
  voc-masks  JPEGImages/ and SegmentationClass/*.png
  masks      images/ and masks/*.png of the same names, classes.txt"""


def find_source(
    path: str | Path, *, format: str | None = None, task: str | None = None
) -> Source:
    """Recognise a data set.

    Args:
        path: Its folder, or a COCO json.
        format: A name of :data:`FORMATS`; None recognises it.
        task: 'det' or 'seg', for data that serves both.

    Raises:
        UserError: There is nothing, or nothing of a known format, or more than one.
    """
    root = Path(path).expanduser().resolve()
    if not root.exists():
        raise UserError(f'{path} does not exist: give the folder of a data set')
    if format is not None:
        kind, module = FORMATS[format]
        if task not in (None, kind):
            raise UserError(
                f'--format {format} is for {_task(kind)} data, {_task(task)} is wanted'
            )
        source = module.find(root)
        if source is None:
            raise UserError(f'{path} is not of the format {format}:\n{LAYOUTS}')
        return source
    found: dict[str, Source] = {}
    broken: list[UserError] = []
    for kind, module in FORMATS.values():
        if task in (None, kind) and kind not in found:
            try:
                source = module.find(root)
            except UserError as error:
                broken.append(error)
                continue
            if source is not None:
                found[kind] = source
    if len(found) > 1:
        names = ' and '.join(f'{_task(k)} ({s.format})' for k, s in found.items())
        raise UserError(f'{path} serves {names}: choose with --task det or --task seg')
    if found:
        return next(iter(found.values()))
    if broken:
        raise broken[0]
    wanted = f'{_task(task)} data' if task else 'data'
    raise UserError(f'{path} holds no {wanted} of a known format:\n{LAYOUTS}')


def _task(task: str) -> str:
    return {'det': 'detection', 'seg': 'segmentation'}[task]
