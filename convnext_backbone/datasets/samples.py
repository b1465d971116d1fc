"""Chooses images that represent a data set, and draws their annotations."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from convnext_backbone.datasets.records import Instance, Record, Source
from convnext_backbone.results.drawing import (
    IGNORED,
    Palette,
    default_palette,
    draw_instances,
    draw_labels,
)

NAME = 26  # letters of a class's name at most
GOLDEN = 0.618034  # its multiples, without the whole part, are spread evenly

Areas = dict[str, list[float]]  # class -> area of each of its objects, pixels


def class_areas(record: Record, source: Source, classes: Sequence[str]) -> Areas:
    """Return the areas of an image's objects; for segmentation one for each class."""
    areas: Areas = {}
    names = source.classes or ()
    for instance in record.instances:
        if instance.category in classes and not instance.crowd:
            x1, y1, x2, y2 = instance.box
            areas.setdefault(instance.category, []).append((x2 - x1) * (y2 - y1))
    for label, count in record.pixels.items():
        if 0 < label <= len(names) and names[label - 1] in classes:
            areas[names[label - 1]] = [count]
    return areas


def draw_samples(
    records: Sequence[Record],
    areas: Sequence[Areas],
    source: Source,
    classes: Sequence[str],
    count: int,
    size: tuple[int, int],
) -> list[tuple[Record, np.ndarray]]:
    """Draw one image for each class, rare ones first, again until there are enough.

    Args:
        records: The images; those that cannot be read are left out.
        areas: What :func:`class_areas` gives for each.
        source: Where they were read from.
        classes: Names in label order.
        count: Pictures wanted.
        size: Width and height that the pictures are to fit into, pixels.
    """
    items = {item.image: item for item in source.items}
    palette = _palette(source, classes)
    samples: list[tuple[Record, np.ndarray]] = []
    for record in _in_turn(records, areas, classes):
        if len(samples) == count:
            break
        picture = _read(record, size)
        if picture is None:
            continue
        if source.task == 'det':
            picture = _draw_objects(picture, record, classes, palette)
        else:
            assert source.read_labels is not None  # of segmentation data
            labels, _ = source.read_labels(items[record.image])
            if labels is None:
                continue
            picture = _draw_mask(picture, labels, source, classes, palette)
        samples.append((record, picture))
    return samples


def _in_turn(
    records: Sequence[Record], areas: Sequence[Areas], classes: Sequence[str]
) -> Iterator[Record]:
    """Yield the images, each once, one of each class in turn.

    Of each class the image with the median area comes first; the next ones are spread
    over all areas.
    """
    having: dict[str, list[int]] = {name: [] for name in classes}
    for i, found in enumerate(areas):
        for name in found:
            having[name].append(i)
    queues: list[list[int]] = []
    for name in sorted(classes, key=lambda name: len(having[name])):
        queue = sorted(having[name], key=lambda i: sum(areas[i][name]))
        order = (np.arange(len(queue)) - len(queue) // 2) * GOLDEN % 1
        queues.append([queue[place] for place in np.argsort(-order)])
    seen: set[int] = set()
    while any(queues):
        for queue in queues:
            while queue and queue[-1] in seen:
                queue.pop()
            if queue:
                seen.add(queue[-1])
                yield records[queue.pop()]


def _palette(source: Source, classes: Sequence[str]) -> Palette:
    """Return the data set's own colours of the classes, else ours."""
    if not source.palette or source.classes is None:
        return default_palette(len(classes))
    own = dict(zip(source.classes, source.palette, strict=True))
    return [own[name] for name in classes]


def _read(record: Record, size: tuple[int, int]) -> np.ndarray | None:
    """Read an image, upright, scaled to fit: names drawn on it keep their size."""
    image = cv2.imread(str(record.image), cv2.IMREAD_COLOR)
    if image is None:
        return None
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, shape, interpolation=way)


def _draw_objects(
    picture: np.ndarray, record: Record, classes: Sequence[str], palette: Palette
) -> np.ndarray:
    objects = [i for i in record.instances if i.category in classes and not i.crowd]
    scale = picture.shape[1] / record.width
    boxes = np.array([i.box for i in objects], float).reshape(-1, 4) * scale
    labels = np.array([classes.index(i.category) for i in objects], int)
    masks = None
    if any(i.segmentation is not None for i in objects):
        size = picture.shape[1], picture.shape[0]  # whole masks may need gigabytes
        near = cv2.INTER_NEAREST
        masks = np.stack(
            [cv2.resize(_mask(i, record), size, interpolation=near) for i in objects]
        )
    names = [shorten(name, NAME) for name in classes]
    return draw_instances(picture, boxes, labels, names, palette, masks=masks)


def _mask(instance: Instance, record: Record) -> np.ndarray:
    """Return an object's mask (H, W), its box where it has none."""
    segmentation = instance.segmentation
    if segmentation is None:
        x1, y1, x2, y2 = instance.box
        segmentation = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    if isinstance(segmentation, list) or isinstance(segmentation['counts'], list):
        runs = coco_mask.frPyObjects(segmentation, record.height, record.width)
        segmentation = coco_mask.merge(runs) if isinstance(runs, list) else runs
    return coco_mask.decode(segmentation)


def _draw_mask(
    picture: np.ndarray,
    labels: np.ndarray,
    source: Source,
    classes: Sequence[str],
    palette: Palette,
) -> np.ndarray:
    assert source.classes is not None  # of segmentation data
    table = np.full(256, IGNORED, np.uint8)
    for label, name in enumerate(source.classes, start=1):
        if name in classes:
            table[label] = classes.index(name)
    names = [shorten(name, NAME) for name in classes]
    return draw_labels(picture, table[labels], names, palette)


def shorten(name: str, letters: int) -> str:
    """Leave out the middle of a long name."""
    if len(name) <= letters:
        return name
    half = letters // 2
    return f'{name[: half - 1]}...{name[2 - half :]}'
