"""Images of 16 bits: data of fewer bits in them is told, not read as black."""

import cv2
import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image
from support.data_faults import found_in
from support.dataset_writers import write_yolo

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.checks import find_faults
from convnext_backbone.datasets.images import check_image
from convnext_backbone.datasets.scan import scan


def pixels(bits, seed=0, colour=False):
    shape = (48, 64, 3) if colour else (48, 64)
    values = np.random.default_rng(seed).integers(0, 1 << bits, shape, np.uint16)
    values.flat[0] = (1 << bits) - 1
    return values


def write_deep(root, bits, images='*.png', colour=False):
    write_yolo(root)
    for number, path in enumerate(sorted((root / 'images').rglob(images))):
        cv2.imwrite(str(path), pixels(bits, number, colour))
    return root


@pytest.mark.parametrize('colour', [False, True])
@pytest.mark.parametrize('bits', [8, 10, 12, 14])
def test_data_of_fewer_bits_is_told(tmp_path, bits, colour):
    root = write_deep(tmp_path, bits, colour=colour)
    assert found_in(root) == [('warning', 'dark-16-bit', tmp_path.name, '')]
    source = find_source(root)
    (fault,) = find_faults(source, scan(source, workers=1))
    seen = max(int(cv2.imread(str(i.image)).max()) for i in source.items)
    assert f'0 to {seen} of 255' in fault.message
    assert f'multiply the pixels by {1 << (16 - bits)}' in fault.message


def test_data_of_16_bits_is_as_it_should_be(tmp_path):
    assert found_in(write_deep(tmp_path, 16)) == []


def test_some_dark_images_among_bright_ones(tmp_path):
    root = write_deep(tmp_path, 16)
    dark = root / 'images' / 'val' / 'val_0.png'
    imageio.imwrite(dark, pixels(12))
    source = find_source(root)
    (fault,) = find_faults(source, scan(source, workers=1))
    assert (fault.level, fault.kind) == ('warning', 'dark-16-bit')
    assert '1 of 6 images of 16 bits' in fault.message
    assert str(dark) in fault.message


@pytest.mark.parametrize('writer', ['Pillow', 'OpenCV', 'imageio'])
@pytest.mark.parametrize('name', ['a.png', 'a.tif'])
def test_files_of_several_writers(tmp_path, writer, name):
    path = tmp_path / name
    if writer == 'Pillow':
        Image.fromarray(pixels(12)).save(path)
    elif writer == 'OpenCV':
        cv2.imwrite(str(path), pixels(12, colour=True))
    else:
        imageio.imwrite(path, pixels(12))
    found, faults = check_image(path)
    assert faults == []
    assert found.peak == 4095
    Image.fromarray((pixels(12) >> 4).astype(np.uint8)).save(path)
    assert check_image(path)[0].peak is None


def test_transparency_does_not_hide_dark_colours(tmp_path):
    colours = np.dstack([pixels(12, colour=True), np.full((48, 64), 65535, np.uint16)])
    cv2.imwrite(str(tmp_path / 'a.png'), colours)
    assert check_image(tmp_path / 'a.png')[0].peak == 4095
