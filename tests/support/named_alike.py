"""Cameras whose images have the same names, in formats that supervision writes."""

import json
from pathlib import Path

import numpy as np
import supervision as sv

CAMERAS = ('cam1', 'cam2')
SIZE = 80, 60  # width, height


def shots(camera: int, count: int) -> sv.DetectionDataset:
    """Return images ``0.png`` to ``N.png`` with one object of class ``of_CAMERA``.

    The box of image i begins at x = 10 * camera + i, so that each is recognised.
    """
    classes = [f'of_{name}' for name in CAMERAS]
    images, annotations = {}, {}
    for i in range(count):
        rng = np.random.default_rng(100 * camera + i)
        blocks = rng.integers(0, 256, (6, 8, 3), np.uint8)
        images[f'{i}.png'] = blocks.repeat(10, 0).repeat(10, 1)
        x = 10 * camera + i
        annotations[f'{i}.png'] = sv.Detections(
            xyxy=np.array([[x, 5, x + 30, 45]], float), class_id=np.array([camera])
        )
    return sv.DetectionDataset(classes, images, annotations)


def left_edges(records) -> dict[str, list[int]]:
    """Return ``CAMERA/NAME`` -> left edges of the boxes, rounded."""
    assert len({record.image for record in records}) == len(records)
    return {
        '/'.join(record.image.parts[-2:]): [round(i.box[0]) for i in record.instances]
        for record in records
    }


def expected(count: int = 3) -> dict[str, list[int]]:
    return {
        f'{name}/{i}.png': [10 * camera + i]
        for camera, name in enumerate(CAMERAS)
        for i in range(count)
    }


def write_voc(root: Path, count: int = 3) -> Path:
    for camera, name in enumerate(CAMERAS):
        folders = [str(root / kind / name) for kind in ('JPEGImages', 'Annotations')]
        shots(camera, count).as_pascal_voc(*folders)
    return root


def write_yolo(root: Path, count: int = 3) -> Path:
    for camera, name in enumerate(CAMERAS):
        folders = [str(root / kind / name) for kind in ('images', 'labels')]
        shots(camera, count).as_yolo(*folders, str(root / 'data.yaml'))
    names = ', '.join(f'of_{name}' for name in CAMERAS)
    (root / 'data.yaml').write_text(f'names: [{names}]\n')
    return root


def write_labelme(root: Path, count: int = 3) -> Path:
    for camera, name in enumerate(CAMERAS):
        shots(camera, count).as_labelme(str(root / name), str(root / name))
    return root


def write_coco(root: Path, count: int = 3) -> Path:
    """Write one json: supervision writes one for each camera, which are joined here."""
    joined = {'images': [], 'annotations': []}
    for camera, name in enumerate(CAMERAS):
        file = root / f'{name}.json'
        start = 1 + count * camera
        shots(camera, count).as_coco(
            str(root / 'images' / name),
            str(file),
            starting_image_id=start,
            starting_annotation_id=start,
        )
        content = json.loads(file.read_text())
        file.unlink()
        for image in content['images']:
            image['file_name'] = f'{name}/{image["file_name"]}'
        joined['categories'] = content['categories']
        joined['images'] += content['images']
        joined['annotations'] += content['annotations']
    (root / 'train.json').write_text(json.dumps(joined))
    return root


WRITERS = {
    'voc': write_voc,
    'yolo': write_yolo,
    'labelme': write_labelme,
    'coco': write_coco,
}
