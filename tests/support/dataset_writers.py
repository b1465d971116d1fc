"""The same small detection data set in every format, for tests to break."""

import json
from pathlib import Path

import cv2
import numpy as np
import yaml

CLASSES = ('box', 'disk')
WIDTH, HEIGHT = 64, 48
SPLITS = {'train': 4, 'val': 2}
# Objects of the images in turn: class, polygon. Boxes are the polygons' own.
OBJECTS = (
    [('box', [(5, 5), (25, 5), (25, 20), (5, 20)])],
    [
        ('disk', [(40, 10), (52, 16), (55, 30), (41, 36), (32, 24)]),
        ('box', [(2, 30), (14, 30), (14, 44), (2, 44)]),
    ],
    [('disk', [(10, 8), (26, 12), (20, 28)])],
)


def image_of(number: int) -> np.ndarray:
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def scenes() -> list[tuple[str, str, list]]:
    """(split, stem, objects) of each image."""
    names = [(split, i) for split, count in SPLITS.items() for i in range(count)]
    return [
        (split, f'{split}_{i}', OBJECTS[k % 3]) for k, (split, i) in enumerate(names)
    ]


def box_of(polygon: list) -> tuple[float, float, float, float]:
    x, y = zip(*polygon, strict=True)
    return min(x), min(y), max(x), max(y)


def write_images(folders: dict[str, Path]) -> None:
    for number, (split, stem, _) in enumerate(scenes()):
        folders[split].mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folders[split] / f'{stem}.png'), image_of(number))


def write_coco(root: Path) -> Path:
    write_images({split: root / split for split in SPLITS})
    categories = [{'id': 7 + i, 'name': name} for i, name in enumerate(CLASSES)]
    for split in SPLITS:
        content = {'categories': categories, 'images': [], 'annotations': []}
        for number, (part, stem, objects) in enumerate(scenes()):
            if part != split:
                continue
            content['images'].append(
                {
                    'id': 100 + number,
                    'file_name': f'{stem}.png',
                    'width': WIDTH,
                    'height': HEIGHT,
                }
            )
            for name, polygon in objects:
                x1, y1, x2, y2 = box_of(polygon)
                content['annotations'].append(
                    {
                        'id': len(content['annotations']) + 1,
                        'image_id': 100 + number,
                        'category_id': 7 + CLASSES.index(name),
                        'bbox': [x1, y1, x2 - x1, y2 - y1],
                        'area': (x2 - x1) * (y2 - y1),
                        'iscrowd': 0,
                        'segmentation': [[v for point in polygon for v in point]],
                    }
                )
        (root / f'{split}.json').write_text(json.dumps(content))
    return root


def write_yolo(root: Path, polygons: bool = False) -> Path:
    write_images({split: root / 'images' / split for split in SPLITS})
    content = {'train': 'images/train', 'val': 'images/val', 'names': list(CLASSES)}
    (root / 'data.yaml').write_text(yaml.safe_dump(content))
    for split, stem, objects in scenes():
        lines = []
        for name, polygon in objects:
            x1, y1, x2, y2 = box_of(polygon)
            values = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
            if polygons:
                values = [v for point in polygon for v in point]
            relative = [v / (HEIGHT if i % 2 else WIDTH) for i, v in enumerate(values)]
            lines.append(' '.join(map(str, [CLASSES.index(name), *relative])))
        file = root / 'labels' / split / f'{stem}.txt'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('\n'.join(lines))
    return root


def write_voc(root: Path) -> Path:
    write_images(dict.fromkeys(SPLITS, root / 'JPEGImages'))
    (root / 'Annotations').mkdir()
    (root / 'ImageSets' / 'Main').mkdir(parents=True)
    for split in SPLITS:
        names = [stem for part, stem, _ in scenes() if part == split]
        (root / 'ImageSets' / 'Main' / f'{split}.txt').write_text('\n'.join(names))
    for _, stem, objects in scenes():
        nodes = ''
        for name, polygon in objects:
            x1, y1, x2, y2 = box_of(polygon)  # VOC counts from 1, both ends inclusive
            nodes += (
                f'<object><name>{name}</name><difficult>0</difficult><bndbox>'
                f'<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin>'
                f'<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
            )
        (root / 'Annotations' / f'{stem}.xml').write_text(
            f'<annotation><filename>{stem}.png</filename><size><width>{WIDTH}</width>'
            f'<height>{HEIGHT}</height><depth>3</depth></size>{nodes}</annotation>'
        )
    return root


def write_labelme(root: Path) -> Path:
    write_images({split: root / split for split in SPLITS})
    for split, stem, objects in scenes():
        shapes = [
            {
                'label': name,
                'points': [list(point) for point in polygon],
                'shape_type': 'polygon',
                'group_id': None,
            }
            for name, polygon in objects
        ]
        content = {
            'version': '5.5.0',
            'shapes': shapes,
            'imagePath': f'{stem}.png',
            'imageHeight': HEIGHT,
            'imageWidth': WIDTH,
        }
        (root / split / f'{stem}.json').write_text(json.dumps(content))
    return root
