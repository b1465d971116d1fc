"""Writes one tiny segmentation data set in every form that masks come in."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 64, 48  # width, height
CLASSES = ('building', 'road', 'water')
PALETTE = ((60, 16, 152), (132, 41, 246), (226, 169, 41))
VOID = (155, 155, 155)
IMAGES = {'train': ('a', 'b', 'c'), 'val': ('d', 'e')}


def label_map(name: str) -> np.ndarray:
    """Return an image's labels: uint8 (48, 64), 0 ignored, 1 + i for class i."""
    labels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    shift = 2 * 'abcde'.index(name)
    labels[4:, 4 : 20 + shift] = 1
    labels[4:, 20 + shift : 40] = 2
    labels[4:, 40:] = 3
    return labels


def write_pairs(root: Path, kind: str, *, splits: bool = True) -> Path:
    """Write the data set; without splits all images are in one folder.

    Args:
        root: Its folder.
        kind: 'index': images/ and masks/ with numbers 0 to 2, 255 for ignored pixels,
            and classes.txt; 'rgb': the same in colours; 'ade20k': ADE20K's folders
            and numbers; 'voc': VOC's folders, palette masks and lists.
        splits: Whether train and val have their own folders, in VOC their lists.
    """
    write = {'index': _index, 'rgb': _rgb, 'ade20k': _ade20k, 'voc': _voc}[kind]
    for split, names in IMAGES.items():
        for name in names:
            write(root, split if splits else '', name, label_map(name))
    return root


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(ord(path.stem[0])).integers(0, 255, (6, 8, 3))
    image = Image.fromarray(noise.astype(np.uint8)).resize(SIZE)
    image.save(path, quality=90)


def write_mask(path: Path, mask: np.ndarray, palette: list[int] | None = None) -> None:
    """Write an index mask (H, W), with a palette if one is given, or colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    if palette is not None:
        image.putpalette(palette + [0] * (768 - len(palette)))
    image.save(path)


def coloured(labels: np.ndarray) -> np.ndarray:
    return np.array([VOID, *PALETTE], np.uint8)[labels]


def check_labels(source, shown=IMAGES):
    """See that every label map is read as it was written."""
    names = {name for names in shown.values() for name in names}
    assert {item.image.stem for item in source.items} == names
    for item in source.items:
        labels, faults = source.read_labels(item)
        assert faults == []
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, label_map(item.image.stem))


def _index(root: Path, split: str, name: str, labels: np.ndarray) -> None:
    write_image(root / 'images' / split / f'{name}.jpg')
    write_mask(root / 'masks' / split / f'{name}.png', labels - np.uint8(1))
    (root / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')


def _rgb(root: Path, split: str, name: str, labels: np.ndarray) -> None:
    write_image(root / 'images' / split / f'{name}.jpg')
    write_mask(root / 'masks' / split / f'{name}.png', coloured(labels))
    named = zip((*CLASSES, 'unlabeled'), (*PALETTE, VOID), strict=True)
    lines = [f'{n} {r} {g} {b}\n' for n, (r, g, b) in named]
    (root / 'classes.txt').write_text(''.join(lines))


def _ade20k(root: Path, split: str, name: str, labels: np.ndarray) -> None:
    folder = {'train': 'training', 'val': 'validation'}[split]
    write_image(root / 'images' / folder / f'{name}.jpg')
    write_mask(root / 'annotations' / folder / f'{name}.png', labels)
    (root / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')


def _voc(root: Path, split: str, name: str, labels: np.ndarray) -> None:
    write_image(root / 'JPEGImages' / f'{name}.jpg')
    palette = [value for colour in PALETTE for value in colour]
    mask = labels - np.uint8(1)
    write_mask(root / 'SegmentationClass' / f'{name}.png', mask, palette)
    (root / 'class_names.txt').write_text('\n'.join(CLASSES) + '\n')
    if split:
        file = root / 'ImageSets' / 'Segmentation' / f'{split}.txt'
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open('a') as lines:
            lines.write(f'{name}\n')
