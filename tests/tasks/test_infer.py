from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from support.commands import DET, SEG, tool

from convnext_backbone.config.loading import read_config
from convnext_backbone.foundation.errors import UserError
from convnext_backbone.tasks.infer import (
    broken_links,
    build_model,
    find_images,
    plan_outputs,
    read_image,
)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_keep_their_structure(tmp_path):
    touch(tmp_path / 'in/a.jpg', tmp_path / 'in/deep/b.PNG', tmp_path / 'in/notes.txt')
    jobs = plan_outputs(find_images([str(tmp_path / 'in')]), tmp_path / 'out')
    assert jobs == [
        (tmp_path / 'in/a.jpg', tmp_path / 'out/a.png'),
        (tmp_path / 'in/deep/b.PNG', tmp_path / 'out/deep/b.png'),
    ]


def test_an_original_is_never_overwritten(tmp_path):
    touch(tmp_path / 'a.png')
    for given in (tmp_path, tmp_path / 'a.png'):
        with pytest.raises(ValueError, match='would be overwritten: give another'):
            plan_outputs(find_images([str(given)]), tmp_path)


def test_two_images_never_share_a_picture(tmp_path):
    touch(tmp_path / 'in/a.jpg', tmp_path / 'in/a.png')
    with pytest.raises(ValueError, match=r'a\.jpg and .*a\.png would both be drawn'):
        plan_outputs(find_images([str(tmp_path / 'in')]), tmp_path / 'out')


def test_images_of_one_name_keep_their_folders(tmp_path):
    files = [tmp_path / cam / f'{i}.jpg' for cam in ('cam1', 'cam2') for i in (0, 1)]
    touch(*files, tmp_path / 'other' / 'x.jpg')
    expected = [
        (file, tmp_path / 'out' / file.relative_to(tmp_path).with_suffix('.png'))
        for file in files
    ]
    for given in (files, [tmp_path / 'cam1', tmp_path / 'cam2']):
        jobs = plan_outputs(find_images(map(str, given)), tmp_path / 'out')
        assert jobs == expected
    given = [str(tmp_path / 'cam1'), str(tmp_path / 'cam2' / '0.jpg')]
    jobs = plan_outputs(find_images(given), tmp_path / 'out')
    assert jobs == expected[:3]
    given = [str(tmp_path / 'cam1'), str(tmp_path / 'other' / 'x.jpg')]  # all differ
    jobs = plan_outputs(find_images(given), tmp_path / 'out')
    assert [target.name for _, target in jobs] == ['0.png', '1.png', 'x.png']
    assert {target.parent for _, target in jobs} == {tmp_path / 'out'}


def test_an_image_that_is_given_twice_is_predicted_once(tmp_path, monkeypatch):
    touch(tmp_path / 'in/deep/a.jpg')
    monkeypatch.chdir(tmp_path)
    given = ['in', 'in/deep', 'in/deep/a.jpg', str(tmp_path / 'in/deep/../deep/a.jpg')]
    jobs = plan_outputs(find_images(given), Path('out'))
    assert jobs == [(Path('in/deep/a.jpg'), Path('out/deep/a.png'))]


def test_links_are_followed_and_broken_ones_told(tmp_path):
    touch(tmp_path / 'pool/b.jpg', tmp_path / 'pool/7f3a.jpg', tmp_path / 'in/a.jpg')
    (tmp_path / 'in/site').symlink_to('../pool')
    (tmp_path / 'in/c.jpg').symlink_to('../pool/7f3a.jpg')
    (tmp_path / 'in/up').symlink_to('..')
    (tmp_path / 'in/gone').symlink_to('../gone')
    (tmp_path / 'in/text').write_text('../gone')
    (tmp_path / 'in/d.jpg').write_text('../pool/7f3a.jpg')
    folder = tmp_path / 'in'
    jobs = plan_outputs(find_images([str(folder)]), tmp_path / 'out')
    names = ['a', 'c', 'd', 'site/7f3a', 'site/b']
    assert jobs == [
        (folder / f'{name}.jpg', tmp_path / 'out' / f'{name}.png') for name in names
    ]
    told = {link.name: reason for link, reason in broken_links([str(folder)])}
    assert told == {
        'up': 'is a link to a folder above it and is not followed',
        'gone': 'is a link to ../gone, which cannot be reached',
        'text': 'is a text file in place of a link to ../gone',
    }
    with pytest.raises(UserError, match='it is a text file in place of a link'):
        read_image(folder / 'd.jpg')


def test_pictures_of_an_earlier_run_are_not_predicted_on(tmp_path):
    touch(tmp_path / 'in/a.jpg', tmp_path / 'in/out/a.png')
    jobs = plan_outputs(find_images([str(tmp_path / 'in')]), tmp_path / 'in/out')
    assert jobs == [(tmp_path / 'in/a.jpg', tmp_path / 'in/out/a.png')]


def test_what_does_not_exist_is_told(tmp_path):
    with pytest.raises(ValueError, match='does not exist: give an image or a folder'):
        list(find_images([str(tmp_path / 'none')]))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='holds no image'):
        list(find_images([str(tmp_path / 'empty')]))


@pytest.mark.parametrize(
    ('file', 'message'),
    [
        ('text.png', 'cannot be decoded (cannot identify image file'),
        ('cut.png', 'cannot be decoded (image file is truncated'),
        ('icon.ico', 'cannot be decoded by OpenCV: save it as PNG'),
        ('missing.png', 'cannot be decoded ([Errno 2] No such file'),
    ],
)
def test_an_image_that_cannot_be_read_is_told(tmp_path, file, message):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'icon.ico')
    Image.fromarray(noise).save(tmp_path / 'whole.png')
    assert np.array_equal(read_image(tmp_path / 'whole.png')[..., ::-1], noise)
    whole = (tmp_path / 'whole.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'text.png').write_text('no image')
    with pytest.raises(UserError) as told:
        read_image(tmp_path / file)
    assert message in str(told.value)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    in_root, tmp_path, capsys
):
    touch(tmp_path / 'a.jpg', tmp_path / 'file', tmp_path / 'a.pth')
    out = tmp_path / 'file' / 'out'
    argv = ['infer', DET, tmp_path / 'a.pth', tmp_path / 'a.jpg', '--out-dir', out]
    assert tool(*argv) == 1
    assert capsys.readouterr().err == (
        f'error: writing {out}/predictions.json: Not a directory ({out})\n'
    )


@pytest.mark.parametrize(
    'classes', [tuple('gfedcba'), tuple('abcdefg'), None], ids=['other', 'more', 'none']
)
def test_classes_are_those_of_the_checkpoint(in_root, tmp_path, classes):
    cfg = read_config(SEG)
    init_default_scope(cfg.default_scope)
    state = MODELS.build(cfg.model).state_dict()
    meta = {'dataset_meta': {'classes': classes}} if classes else {}
    torch.save({'meta': meta, 'state_dict': state}, tmp_path / 'a.pth')
    _, meta = build_model(cfg, str(tmp_path / 'a.pth'))
    assert meta['classes'] == (classes or cfg.metainfo.classes)
