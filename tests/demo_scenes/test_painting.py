import numpy as np
import pytest

from convnext_backbone.demo_scenes import painting


@pytest.mark.parametrize('texture', painting.TEXTURES)
def test_textures_blend_between_two_colours(texture):
    v, u = np.mgrid[-1:1:80j, -1:1:90j].astype(np.float32)
    blend = texture(np.random.default_rng(3), u, v, 2.0)
    assert blend.shape == (80, 90)
    assert blend.min() >= 0
    assert blend.max() <= 1
    assert blend.std() > 0.1


def test_objects_stand_out_from_their_surroundings():
    rng = np.random.default_rng(0)
    close = 0
    for _ in range(200):
        behind = rng.random(3)
        colours = painting.random_colour_pair(rng, behind)
        close += min(np.abs(c - behind).sum() for c in colours) <= 0.45
    assert close <= 2


def test_backgrounds_are_pictures_of_the_size_and_all_different():
    pictures = [
        painting.background(np.random.default_rng(k), 100 + k) for k in range(4)
    ]
    for k, picture in enumerate(pictures):
        assert picture.shape == (100 + k, 100 + k, 3)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
    means = np.array([picture.mean(axis=(0, 1)) for picture in pictures])
    assert np.ptp(means, axis=0).min() > 0.05


def test_relief_is_bright_towards_the_light():
    coverage = np.zeros((40, 40), np.float32)
    coverage[10:30, 10:30] = 1
    edge = painting.relief(coverage, light=(1.0, 0.0))
    assert edge[20, 29] > 0.1
    assert edge[20, 10] < -0.1
    assert abs(edge[20, 20]) < 1e-3
    assert np.abs(edge[10, 15:25]).max() < 1e-3


def test_relighting_keeps_what_is_to_be_seen():
    scene = np.zeros((64, 64, 3), np.float32) + 0.25
    scene[:, 32:] = 0.75
    photos = [painting.relight(np.random.default_rng(k), scene) for k in range(20)]
    steps = [p[:, 32:].mean() - p[:, :32].mean() for p in photos]
    assert all(p.dtype == np.uint8 and p.shape == scene.shape for p in photos)
    assert min(steps) > 60
    assert np.std([p.mean() for p in photos]) > 5
