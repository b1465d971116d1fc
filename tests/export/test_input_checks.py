"""What an exported model takes, and that it never hands out what is not of its images.

A convolution of stride 32 stands for a model: its file is written in a second.
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_models import raw_images
from torch import Tensor, nn

from convnext_backbone.export import ExportedModel, convert
from convnext_backbone.export import images as pictures
from convnext_backbone.export.backends import SUFFIXES
from convnext_backbone.export.exported_model import ONLY_MULTIPLES
from convnext_backbone.foundation.errors import UserError

FILL = [100.5, 116.28, 123.675]
NOTES = {'task': 'segmentor', 'channels': 'BGR', 'fill': ', '.join(map(str, FILL))}


class Enlarged(nn.Module):
    """A segmentor in small: maps of stride 32, enlarged to the size of the images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 32, stride=32)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(self.conv(x), x.shape[2:], mode='bilinear')


@pytest.fixture(scope='module', params=SUFFIXES)
def files(request, tmp_path_factory) -> tuple[nn.Module, str, Path]:
    """A module, the format of its file of dynamic size, and that file."""
    module = Enlarged().eval()
    path = tmp_path_factory.mktemp('files') / f'dynamic{SUFFIXES[request.param]}'
    program = convert.trace(module, pictures.example(raw_images(1, 3, 96, 128)))
    convert.SAVERS[request.param](program, ['logits'], path)
    return module, request.param, path


def finished(files, folder: Path, shape: tuple | None, notes: dict) -> ExportedModel:
    _, kind, dynamic = files
    path = folder / f'finished{dynamic.suffix}'
    convert.finish(kind, dynamic, path, shape, notes)
    return ExportedModel(path)


WRONG = {
    'an array': np.zeros((1, 3, 64, 96), np.float32),
    'integers': torch.zeros(1, 3, 64, 96, dtype=torch.int64),
    'booleans': torch.zeros(1, 3, 64, 96, dtype=torch.bool),
    'one image without a batch': torch.zeros(3, 64, 96),
    'too many channels': torch.zeros(1, 4, 64, 96),
    'channels last': torch.zeros(1, 64, 96, 3),
    'an empty batch': torch.zeros(0, 3, 64, 96),
    'an empty image': torch.zeros(1, 3, 0, 96),
}
WRONG_SIZES = {
    'too high': torch.zeros(1, 3, 96, 96),
    'too wide': torch.zeros(1, 3, 64, 97),
    'too many': torch.zeros(2, 3, 64, 96),
}


@pytest.mark.parametrize('notes', [NOTES, {}], ids=['notes', 'no notes'])
@pytest.mark.parametrize('shape', [None, (1, 3, 64, 96)], ids=['dynamic', 'fixed'])
def test_what_a_file_does_not_take_is_refused(files, shape, notes, tmp_path):
    model = finished(files, tmp_path, shape, notes)
    sides = '(N, 3, H, W)' if shape is None else '(1, 3, 64, 96)'
    for name, images in {**WRONG, **(WRONG_SIZES if shape else {})}.items():
        with pytest.raises(UserError, match=re.escape(f'of shape {sides}')) as error:
            model(images)
        got = getattr(images, 'dtype', None), tuple(images.shape)
        told = str(error.value).partition(', got ')[2]
        assert told in ('ndarray', f'{got[0]} {got[1]}'), name


def test_a_smaller_image_is_padded_to_the_fixed_size(files, tmp_path):
    module, *_ = files
    model = finished(files, tmp_path, (1, 3, 64, 96), NOTES)
    images = raw_images(1, 3, 50, 71)
    whole = torch.tensor(FILL)[None, :, None, None].repeat(1, 1, 64, 96)
    whole[..., :50, :71] = images
    with torch.no_grad():
        expected = module(whole)[..., :50, :71]
    (actual,) = model(images)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)
    unknown = finished(files, tmp_path, (1, 3, 64, 96), {})
    with pytest.raises(UserError, match=r'takes a tensor .* \(1, 3, 64, 96\), got'):
        unknown(images)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float16, torch.float64], ids=str)
def test_bytes_and_all_floats_are_images(files, dtype, tmp_path):
    model = finished(files, tmp_path, None, NOTES)
    images = raw_images(2, 3, 64, 96)
    torch.testing.assert_close(model(images.to(dtype)), model(images))


def test_outputs_are_not_overwritten_by_the_next_run(files, tmp_path):
    model = finished(files, tmp_path, None, NOTES)
    (first,) = model(raw_images(1, 3, 64, 96))
    kept = first.clone()
    (second,) = model(255 - raw_images(1, 3, 64, 96))
    assert not torch.equal(second, kept)
    assert torch.equal(first, kept)


def test_a_file_of_version_0_2_0_keeps_to_the_sizes_that_it_states(files, tmp_path):
    notes = {'channels': 'BGR', 'input': f'images: float32, {ONLY_MULTIPLES}'}
    model = finished(files, tmp_path, None, notes)
    (logits,) = model(raw_images(1, 3, 64, 96))
    assert logits.shape == (1, 2, 64, 96)
    with pytest.raises(UserError, match=r'version 0\.2\.0 .* multiples of 32, got'):
        model(raw_images(1, 3, 64, 90))


def test_the_channels_of_an_open_input_are_those_of_the_notes(files, tmp_path):
    model = finished(files, tmp_path, None, NOTES)
    model._engine.shape = (None, None, None, None)
    assert model._declared_shape() == (None, 3, None, None)
    model.notes['channels'] = '5'
    assert model._declared_shape() == (None, 5, None, None)


def test_an_engine_that_computes_nothing_is_told(files, tmp_path, monkeypatch):
    model = finished(files, tmp_path, None, NOTES)
    monkeypatch.setattr(model._engine, 'run', lambda _: [np.zeros((), np.float32)])
    with pytest.raises(UserError, match='computes nothing of images of shape'):
        model(raw_images(1, 3, 64, 96))
