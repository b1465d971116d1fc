"""Layouts of images and masks beyond images/ and masks/, and folders of any name."""

import shutil

import pytest
from support.mask_writers import CLASSES, IMAGES, check_labels, write_pairs

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.cache import cache_folder, prepare
from convnext_backbone.datasets.formats.mask_options import MaskOptions


def move(root, moves):
    for old, new in moves.items():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / old, root / new)


@pytest.mark.parametrize('ending', ['annot', '_labels', '_masks', '_gt'])
def test_masks_beside_the_folder_of_a_split(tmp_path, ending):
    """SegNet's train/ and trainannot/, and others like it."""
    write_pairs(tmp_path, 'index')
    move(tmp_path, {f'images/{split}': split for split in IMAGES})
    move(tmp_path, {f'masks/{split}': f'{split}{ending}' for split in IMAGES})
    for name in ('images', 'masks'):
        (tmp_path / name).rmdir()
    source = find_source(tmp_path)
    assert (source.format, source.faults) == ('masks', [])
    assert source.splits == ('train', 'val')
    check_labels(source)


@pytest.mark.parametrize('inside', [True, False])
@pytest.mark.parametrize('divided', [True, False])
def test_folders_that_the_user_names(tmp_path, monkeypatch, inside, divided):
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    root = write_pairs(tmp_path / 'data', 'index', splits=divided)
    place = root if inside else tmp_path / 'elsewhere'
    move(tmp_path, {'data/images': place / 'rgb' / 'x', 'data/masks': place / 'truth'})
    names = ('rgb/x', 'truth')
    if not inside:
        names = tuple(str(place / name) for name in names)
    options = MaskOptions(images=names[0], masks=names[1])
    source = find_source(root, masks=options)
    assert (source.task, source.format, source.faults) == ('seg', 'masks', [])
    assert source.classes == CLASSES
    check_labels(source)
    before = sorted(tmp_path.rglob('*.png'))
    data = prepare(source, None, seed=0)
    assert data.images == (root if inside else place / 'rgb' / 'x')
    for split in ('train', 'val'):
        names = (data.folder / f'{split}.txt').read_text().split()
        assert all((data.images / name).is_file() for name in names)
        assert all((data.folder / 'masks' / f'{n}.png').is_file() for n in names)
    made = set(tmp_path.rglob('*.png')) - set(before)
    assert all(path.is_relative_to(data.folder) for path in made)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(images='images'), 'give both, or neither'),
        (dict(masks='masks'), 'give both, or neither'),
        (dict(images='images', masks='images'), 'are both'),
        (dict(images='no', masks='masks'), '--images no: there is no such folder'),
        (dict(images='images', masks='empty'), 'holds no picture'),
    ],
)
def test_folders_that_do_not_serve(tmp_path, options, match):
    write_pairs(tmp_path, 'index')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=match):
        find_source(tmp_path, masks=MaskOptions(**options))


def test_a_folder_in_the_data_and_one_here(tmp_path, monkeypatch):
    root = write_pairs(tmp_path / 'data', 'index')
    (tmp_path / 'images').mkdir()
    monkeypatch.chdir(tmp_path)
    options = MaskOptions(images='images', masks='masks')
    with pytest.raises(ValueError, match='give an absolute path'):
        find_source(root, masks=options)
    options = MaskOptions(images=str(root / 'images'), masks='masks')
    check_labels(find_source(root, masks=options))


@pytest.mark.parametrize('kwargs', [dict(task='det'), dict(format='coco')])
def test_options_of_masks_are_not_for_detection(tmp_path, kwargs):
    write_pairs(tmp_path, 'index')
    with pytest.raises(ValueError, match='for segmentation data'):
        find_source(tmp_path, masks=MaskOptions(ignore_label=3), **kwargs)


def test_another_reading_is_converted_anew(tmp_path, monkeypatch):
    """Also where names and images stay the same."""
    monkeypatch.setenv('CONVNEXT_HOME', str(tmp_path / 'home'))
    root = write_pairs(tmp_path / 'data', 'index')
    folders = set()
    for label in (None, 0, 2, 255):
        source = find_source(root, masks=MaskOptions(ignore_label=label))
        folders.add(cache_folder(source, None, 0).name)
    assert len(folders) == 3  # None and 255 say the same here
    for names in (('void', *CLASSES), (*CLASSES, 'void')):
        (root / 'classes.txt').write_text('\n'.join(names))
        folders.add(cache_folder(find_source(root), None, 0).name)
    assert len(folders) == 4  # a first line void says the same as 0
