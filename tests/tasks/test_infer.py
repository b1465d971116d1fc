from pathlib import Path

import pytest

from convnext_backbone.tasks.infer import find_images, plan_outputs


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
