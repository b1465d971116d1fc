"""Draws predictions and ground truth on pictures, and pictures on contact sheets."""

from collections.abc import Sequence

import cv2
import numpy as np

MIN_SIDE = 448  # pixels; in smaller pictures labels would hide the objects
IGNORED = 255  # mmseg's label of ignored pixels
GAP = 8
MOST_NAMES = 30  # in a picture; more of them would hide the objects
PAPER = 255
TEXT_SCALE = 0.4
FONT = (cv2.FONT_HERSHEY_SIMPLEX, TEXT_SCALE)
PADDING = 2  # pixels around a name

Palette = Sequence[tuple[int, int, int]]  # RGB of each class


def draw_sample(
    image: np.ndarray,
    sample: dict,
    which: str,
    classes: Sequence[str],
    palette: Palette | None = None,
    score_thr: float = 0.3,
) -> np.ndarray:
    """Draw one data sample of mmdet or mmseg.

    Args:
        image: The original image, uint8 (H, W, 3), BGR.
        sample: A data sample's ``to_dict()``, in the pixels of the image.
        which: 'pred' or 'gt'.
        classes: Class names in label order.
        palette: RGB of each class; None takes :func:`default_palette`.
        score_thr: Least score of an instance to draw.

    Returns:
        The picture, BGR, enlarged if the image is small.
    """
    image = enlarge(image)
    colours = (
        [(r, g, b) for r, g, b in palette] if palette else default_palette(len(classes))
    )
    if f'{which}_sem_seg' in sample:
        labels = np.asarray(sample[f'{which}_sem_seg']['data'].cpu())[0]
        return draw_labels(image, labels, classes, colours)
    instances = sample.get(f'{which}_instances') or {}
    if 'bboxes' not in instances:  # test data without annotations
        return image
    boxes = getattr(instances['bboxes'], 'tensor', instances['bboxes']).cpu().numpy()
    masks = instances.get('masks')
    if masks is not None:
        # mmdet's ground truth may hold polygons.
        masks = masks.to_ndarray() if hasattr(masks, 'to_ndarray') else masks.cpu()
        masks = np.asarray(masks)
    scores = instances.get('scores')
    return draw_instances(
        image,
        boxes * (image.shape[1] / sample['ori_shape'][1]),
        np.asarray(instances['labels'].cpu()),
        classes,
        colours,
        masks=masks,
        scores=None if scores is None else scores.cpu().numpy(),
        score_thr=score_thr,
    )


def draw_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    palette: Palette,
    *,
    masks: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    score_thr: float = 0.3,
) -> np.ndarray:
    """Draw boxes (N, 4) as x1, y1, x2, y2, their masks (N, h, w) and names."""
    keep = np.ones(len(boxes), bool) if scores is None else scores >= score_thr
    names = [classes[label] for label in labels[keep].astype(int)]
    if scores is not None:
        names = [f'{n} {s:.2f}' for n, s in zip(names, scores[keep], strict=True)]
    kept = None if masks is None else masks[keep]
    return paint_instances(image, boxes[keep], labels[keep], palette, names, kept)


def paint_instances(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    palette: Palette,
    names: Sequence[str],
    masks: np.ndarray | None = None,
    thickness: int = 1,
) -> np.ndarray:
    """Draw masks, or boxes where there are none, in the colours of their labels.

    Args:
        image: BGR.
        boxes: (N, 4) as x1, y1, x2, y2 in its pixels.
        labels: (N,), which choose the colours.
        palette: RGB of each class.
        names: What to write at each of them; empty where that says nothing.
        masks: (N, h, w), scaled to the image.
        thickness: Of outlines, in pixels.
    """
    import supervision as sv  # takes a second to load

    if not len(boxes):
        return image.copy()
    if masks is not None:
        size = image.shape[1], image.shape[0]
        near = cv2.INTER_NEAREST
        scaled = [
            cv2.resize(m.astype(np.uint8), size, interpolation=near) for m in masks
        ]
        masks = np.stack(scaled).astype(bool)
    found = sv.Detections(xyxy=boxes, class_id=labels.astype(int), mask=masks)
    colours = sv.ColorPalette([sv.Color(*map(int, colour)) for colour in palette])
    picture = image.copy()
    if masks is None:
        picture = sv.BoxAnnotator(colours, thickness=thickness).annotate(picture, found)
    else:
        picture = sv.MaskAnnotator(colours, opacity=0.45).annotate(picture, found)
        outlines = sv.PolygonAnnotator(colours, thickness=thickness)
        picture = outlines.annotate(picture, found)
    if names and len(names) <= MOST_NAMES:
        anchors = _anchors(boxes, names, picture.shape)
        labelled = sv.Detections(xyxy=anchors, class_id=found.class_id)
        ink = [sv.Color.BLACK if sum(c) > 380 else sv.Color.WHITE for c in palette]
        labeller = sv.LabelAnnotator(
            colours,
            text_color=sv.ColorPalette(ink),
            text_scale=TEXT_SCALE,
            text_padding=PADDING,
        )
        picture = labeller.annotate(picture, labelled, list(names))
    return picture


def _anchors(
    boxes: np.ndarray, names: Sequence[str], shape: tuple[int, ...]
) -> np.ndarray:
    """Shift boxes (N, 4) so that the names above their left corners are not cut off."""
    sizes = [cv2.getTextSize(name, *FONT, 1)[0] for name in names]
    width, height = np.array(sizes, float).T + 2 * PADDING
    anchors = boxes.astype(float)
    anchors[:, 0] = anchors[:, 0].clip(0, np.maximum(0, shape[1] - width))
    anchors[:, 1] = np.maximum(anchors[:, 1], height)
    anchors[:, 2:] = np.maximum(anchors[:, 2:], anchors[:, :2])
    return anchors


def draw_labels(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], palette: Palette
) -> np.ndarray:
    """Tint an image by its label map (H, W), with the names of its classes.

    Labels outside the classes (ignored pixels) are left untinted.
    """
    size = image.shape[1], image.shape[0]
    labels = cv2.resize(labels.astype(np.int16), size, interpolation=cv2.INTER_NEAREST)
    table = np.asarray(palette, np.uint8)[:, ::-1]  # RGB -> BGR
    known = (labels >= 0) & (labels < len(classes)) & (labels != IGNORED)
    tint = table[np.where(known, labels, 0)]
    picture = image.copy()
    picture[known] = cv2.addWeighted(image, 0.45, tint, 0.55, 0)[known]
    y = 6
    for label in np.unique(labels[known]):
        name = classes[label]
        (width, height), _ = cv2.getTextSize(name, *FONT, 1)
        colour = tuple(int(v) for v in table[label])
        cv2.rectangle(picture, (6, y), (16 + width, y + height + 8), colour, -1)
        ink = (0, 0, 0) if sum(colour) > 380 else (255, 255, 255)
        cv2.putText(
            picture,
            name,
            (11, y + height + 4),
            *FONT,
            ink,
            1,
            cv2.LINE_AA,
        )
        y += height + 10
    return picture


def enlarge(image: np.ndarray) -> np.ndarray:
    """Enlarge a small image by a whole factor, so that its longer side is legible."""
    factor = max(1, round(MIN_SIDE / max(image.shape[:2])))
    if factor == 1:
        return image
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def default_palette(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` colours (RGB), neighbours far apart in hue."""
    hue = (np.arange(count) * 180 * 0.618) % 180
    light = 200 + 55 * (np.arange(count) % 2)
    hsv = np.stack([hue, np.full(count, 190), light], axis=1).astype(np.uint8)
    rgb = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]
    return [(r, g, b) for r, g, b in rgb.tolist()]


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], height: int = 300
) -> np.ndarray:
    """Lay out pictures in rows, all of one height, under a line of titles.

    Args:
        rows: Pictures (H, W, 3), BGR; each row may have its own widths.
        titles: What the pictures of a row show, in turn.
        height: Pixels of each row.

    Returns:
        The sheet, uint8 (H, W, 3), BGR.
    """
    scaled = [
        [
            cv2.resize(
                p,
                (max(1, round(p.shape[1] * height / p.shape[0])), height),
                interpolation=cv2.INTER_AREA,
            )
            for p in row
        ]
        for row in rows
    ]
    width = max(sum(p.shape[1] + GAP for p in row) for row in scaled) + GAP
    header = 28
    sheet = np.full(
        (header + len(rows) * (height + GAP), width, 3), PAPER, dtype=np.uint8
    )
    for r, row in enumerate(scaled):
        x, y = GAP, header + r * (height + GAP)
        for c, picture in enumerate(row):
            sheet[y : y + height, x : x + picture.shape[1]] = picture
            if r == 0:
                cv2.putText(
                    sheet,
                    titles[c % len(titles)],
                    (x, 19),
                    cv2.FONT_HERSHEY_SIMPLEX,
                    0.5,
                    (40, 40, 40),
                    1,
                    cv2.LINE_AA,
                )
            x += picture.shape[1] + GAP
    return sheet
