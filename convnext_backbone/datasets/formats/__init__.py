"""Recognises the format of a data set.

========================  ===================================================
``coco.py``               detection, one json for each split
``coco_tables.py``        what the tables of such a json must be
``coco_objects.py``       one of its annotations
``coco_segmentation.py``  what its polygons and RLEs must be
``coco_flags.py``         what takes an object out of training
``coco_boxes.py``         its boxes against what else states the place
``voc.py``                detection, one xml for each image
``yolo.py``               detection, one text file for each image
``yolo_config.py``        its data.yaml
``yolo_darknet.py``       its obj.data, as CVAT writes it
``yolo_lines.py``         what the numbers of a line mean
``labelme.py``            detection, one json for each image
``labelme_images.py``     finds the image of such a json
``per_image.py``          what the three formats with a file for each image share
``boxes.py``              checks a box, for all four formats

``ade20k.py``             segmentation in the layout of ADE20K
``voc_masks.py``          segmentation in the layout of VOC
``masks.py``              segmentation, any other pair of folders
``mask_pairs.py``         pairs images with their masks
``mask_files.py``         reads masks
``mask_numbers.py``       finds the numbers that occur in masks
``mask_legend.py``        what numbers and colours in masks stand for
``mask_readings.py``      which of the possible legends masks have
``mask_options.py``       what the user says of masks
``class_files.py``        reads files of class names

``layout.py``             image files, and folders named for splits
``links.py``              links that lead nowhere
``name_lists.py``         VOC's lists of the images of a split
========================  ===================================================
"""

import os
from pathlib import Path
from types import ModuleType

from convnext_backbone.datasets.formats import (
    ade20k,
    coco,
    labelme,
    masks,
    voc,
    voc_masks,
    yolo,
)
from convnext_backbone.datasets.formats.links import link_faults
from convnext_backbone.datasets.formats.mask_options import NO_OPTIONS, MaskOptions
from convnext_backbone.datasets.records import Source
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import as_written

# Name -> task, and the module whose find() recognises it. Of each task, the first one
# that recognises a data set is taken.
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
  masks      images/ and masks/*.png of the same names, classes.txt;
             or train/ and trainannot/, val/ and valannot/;
             or any two such folders: --images DIR --masks DIR"""


def find_source(
    path: str | Path,
    *,
    format: str | None = None,
    task: str | None = None,
    masks: MaskOptions = NO_OPTIONS,
) -> Source:
    """Recognise a data set.

    Args:
        path: Its folder, or a COCO json.
        format: A name of :data:`FORMATS`; None recognises it.
        task: 'det' or 'seg', for data that serves both.
        masks: What the user says of masks: then it is data for segmentation, and
            folders that the user names are read as 'masks'.

    Raises:
        UserError: There is nothing, or nothing of a known format, or more than one,
            or a file or folder cannot be read; or the options contradict each other.
    """
    format, task = _with_masks(format, task, masks)
    with os_errors_told(f'reading the data set {path}'):
        root = Path(os.path.expanduser(path))  # Path's raises for an unknown user
        if not root.exists():
            raise UserError(f'{path} does not exist: give the folder of a data set')
        root = as_written(root)
    source = _choose(path, root, format, task, masks)
    source.faults += link_faults(source)
    return source


def _choose(
    path: str | Path,
    root: Path,
    format: str | None,
    task: str | None,
    masks: MaskOptions,
) -> Source:
    """Return the one data set that the layout can be read as."""
    if format is not None:
        return _find_as(format, path, root, task, masks)
    found, errors = _find_all(path, root, task, masks)
    if len(found) > 1:
        names = ' and '.join(f'{_task(k)} ({s.format})' for k, s in found.items())
        raise UserError(f'{path} serves {names}: choose with --task det or --task seg')
    if found:
        return next(iter(found.values()))
    if errors:
        raise errors[0]
    wanted = f'{_task(task)} data' if task else 'data'
    raise UserError(f'{path} holds no {wanted} of a known format:\n{LAYOUTS}')


def _with_masks(
    format: str | None, task: str | None, masks: MaskOptions
) -> tuple[str | None, str | None]:
    """Return the format and the task that options for masks lead to.

    Raises:
        UserError: The options contradict each other.
    """
    masks.check()
    if masks == NO_OPTIONS:
        return format, task
    kind = 'seg' if format is None else FORMATS[format][0]
    if 'det' in (kind, task):
        raise UserError(
            '--ignore-label, --images and --masks are for segmentation data with masks'
        )
    if masks.images is None:
        return format, 'seg'
    if format not in (None, 'masks'):
        raise UserError(
            f'--images and --masks name the folders, which --format {format} finds '
            f'itself: leave one of them out'
        )
    return 'masks', 'seg'


def _find_as(
    format: str, path: str | Path, root: Path, task: str | None, masks: MaskOptions
) -> Source:
    """Read the layout of a data set whose format is given."""
    kind, module = FORMATS[format]
    if task not in (None, kind):
        raise UserError(
            f'--format {format} is for {_task(kind)} data, {_task(task)} is wanted'
        )
    with os_errors_told(f'reading the data set {path}'):
        source = _find(kind, module, root, masks)
    if source is None:
        raise UserError(f'{path} is not of the format {format}:\n{LAYOUTS}')
    return source


def _find_all(
    path: str | Path, root: Path, task: str | None, masks: MaskOptions
) -> tuple[dict[str, Source], list[UserError]]:
    """Try every format; return what was recognised for each task, and the errors."""
    found: dict[str, Source] = {}
    errors: list[UserError] = []
    for kind, module in FORMATS.values():
        if task not in (None, kind) or kind in found:
            continue
        try:
            with os_errors_told(f'reading the data set {path}'):
                source = _find(kind, module, root, masks)
        except UserError as error:
            errors.append(error)
            continue
        if source is not None:
            found[kind] = source
    return found, errors


def _find(
    kind: str, module: ModuleType, root: Path, masks: MaskOptions
) -> Source | None:
    """Let a format recognise a data set."""
    return module.find(root, masks) if kind == 'seg' else module.find(root)


def _task(task: str) -> str:
    return {'det': 'detection', 'seg': 'segmentation'}[task]
