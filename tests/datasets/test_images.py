from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from convnext_backbone.datasets.duplicates import near_duplicates
from convnext_backbone.datasets.images import check_image
from convnext_backbone.datasets.records import Record


def picture(seed, size=(80, 60)):
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def kinds(faults):
    return [(fault.level, fault.kind) for fault in faults]


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.webp', 'a.bmp', 'a.tif'])
def test_reads_a_whole_picture(tmp_path, name):
    picture(0).save(tmp_path / name)
    found, faults = check_image(tmp_path / name)
    assert not faults
    assert (found.width, found.height) == (80, 60)
    expected = np.asarray(picture(0).convert('L').resize((16, 16)), int)
    assert np.abs(found.thumbnail - expected).mean() < 6


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK', 'I;16'])
def test_reads_other_modes(tmp_path, mode):
    image = picture(0)
    if mode == 'I;16':
        grey = np.asarray(image.convert('L')).astype(np.uint16) * 256
        image = Image.fromarray(grey)
    file = tmp_path / ('a.tif' if mode == 'CMYK' else 'a.png')
    (image if mode == 'I;16' else image.convert(mode)).save(file)
    found, faults = check_image(file)
    assert not faults
    assert found.thumbnail.std() > 10


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_finds_a_truncated_picture(tmp_path, suffix):
    file = tmp_path / f'a.{suffix}'
    picture(0, (400, 300)).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    found, faults = check_image(file)
    assert found is None
    assert kinds(faults) == [('error', 'truncated-image')]
    assert faults[0].file == str(file)


def test_finds_what_is_no_picture(tmp_path):
    file = tmp_path / 'a.png'
    file.write_text('not a picture')
    assert kinds(check_image(file)[1]) == [('error', 'unreadable-image')]
    file.write_bytes(b'')
    assert kinds(check_image(file)[1]) == [('error', 'unreadable-image')]


def test_finds_a_missing_picture(tmp_path):
    assert kinds(check_image(tmp_path / 'a.png')[1]) == [('error', 'missing-image')]


def test_turned_pictures_have_the_size_that_training_sees(tmp_path):
    file = tmp_path / 'a.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(0).save(file, exif=exif)
    found, faults = check_image(file)
    assert kinds(faults) == [('warning', 'exif-rotation')]
    assert cv2.imread(str(file)).shape[:2] == (found.height, found.width) == (80, 60)


def record(image, name='a'):
    grey = image.convert('L').resize((16, 16), Image.Resampling.BOX)
    return Record(name, '', thumbnail=np.asarray(grey))


def test_finds_the_same_picture_smaller_and_compressed():
    data = BytesIO()
    picture(1, (400, 300)).resize((200, 150)).save(data, 'jpeg', quality=40)
    train = [record(picture(seed, (400, 300)), seed) for seed in range(5)]
    val = [record(picture(9)), record(Image.open(data), 'twin')]
    assert [(a.image, b.image) for a, b in near_duplicates(train, val)] == [('twin', 1)]


def test_other_light_is_another_picture():
    darker = picture(1).point(lambda v: v // 3)
    assert not list(near_duplicates([record(picture(1))], [record(darker)]))


def test_flat_pictures_are_no_twins():
    black = Image.new('L', (64, 64))
    assert not list(near_duplicates([record(black)], [record(black)]))


@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp', 'a.tif', 'a.mpo'])
def test_orientation_in_every_format(tmp_path, name, orientation):
    """The size is what training sees, whether OpenCV turns the picture or not."""
    file = tmp_path / name.replace('mpo', 'jpg')
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = dict(format='MPO', save_all=True, append_images=[picture(1)])
    picture(0).save(file, exif=exif, **(more if name == 'a.mpo' else {}))
    with Image.open(file) as image:
        assert image.format == {'a.mpo': 'MPO'}.get(name, image.format)
    found, faults = check_image(file)
    wanted = [] if orientation == 1 else [('warning', 'exif-rotation')]
    assert kinds(faults) == wanted
    data = np.fromfile(file, np.uint8)  # mmcv decodes what it has read
    seen = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert seen.shape[:2] == (found.height, found.width)
    stored = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if faults and np.array_equal(seen, stored) and name != 'a.tif':
        assert 'does not follow' in faults[0].message


@pytest.mark.parametrize('name', ['a.mpo', 'a.webp', 'a.tif', 'a.bmp'])
def test_finds_what_is_cut_off_in_other_formats(tmp_path, name):
    file = tmp_path / name.replace('mpo', 'jpg')
    more = dict(format='MPO', save_all=True, append_images=[picture(1)])
    picture(0, (400, 300)).save(file, **(more if name == 'a.mpo' else {}))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 4])
    found, faults = check_image(file)
    assert found is None
    assert [fault.level for fault in faults] == ['error']


@pytest.mark.parametrize('name', ['a.tif', 'a.webp', 'a.png'])
def test_a_file_of_several_pictures_is_told(tmp_path, name):
    pages = [picture(seed) for seed in (1, 2)]
    picture(0).save(tmp_path / name, save_all=True, append_images=pages)
    found, faults = check_image(tmp_path / name)
    assert (found.width, found.height) == (80, 60)
    assert kinds(faults) == [('warning', 'several-pictures')]
    assert 'holds 3 pictures' in faults[0].message
