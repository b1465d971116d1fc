"""What the export refuses, each with one message, and what it never overwrites."""

import re
import shutil
import sys
from pathlib import Path

import cv2
import pytest
import torch
from support.commands import DET, SEG, tool
from support.error_messages import only_error
from support.tiny_models import raw_images, tiny_config
from torch import Tensor, nn

from convnext_backbone.config.loading import load_config
from convnext_backbone.export import ExportedModel, compare, convert
from convnext_backbone.export import images as pictures
from convnext_backbone.foundation.errors import UserError


def test_a_wrong_model_is_not_written(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare, 'MOST_DIFFERENCE', 0.0)
    out = tmp_path / 'model.xml'
    assert tool('export', *tiny[DET], '--format', 'openvino', '--out', out) == 1
    assert 'differs from that of PyTorch' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_not_an_export_stays(tiny, tmp_path, capsys):
    out = tmp_path / 'model.onnx'
    out.write_text('precious')
    assert tool('export', *tiny[DET], '--format', 'onnx', '--out', out) == 1
    assert 'exists and is not an export of this tool' in capsys.readouterr().err
    assert out.read_text() == 'precious'


@pytest.mark.parametrize(
    ('kind', 'package'), [('onnx', 'onnxruntime'), ('openvino', 'nncf')]
)
def test_missing_packages_are_asked_for(tiny, kind, package, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert tool('export', *tiny[DET], '--format', kind) == 1
    error = capsys.readouterr().err
    assert f'format {kind} needs {package}' in error
    assert "pip install 'convnext_backbone[export]'" in error


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--shape', 100, 128], 'must be multiples of 32, such as 128 128'),
        (['--out', 'model.xml'], 'a file of format onnx ends in .onnx'),
        (['--images', 'nowhere.png'], 'nowhere.png does not exist: give an image'),
    ],
)
def test_wrong_options_are_told(tiny, options, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert tool('export', *tiny[DET], '--format', 'onnx', *options) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'reason'),
    [('file/model.onnx', 'exists|Not a directory'), ('m' * 300 + '.onnx', 'too long')],
)
def test_an_output_path_that_cannot_be_written_is_told(
    tiny, name, reason, tmp_path, capsys
):
    (tmp_path / 'file').touch()
    argv = [*tiny[DET], '--format', 'onnx', '--out', tmp_path / name]
    assert tool('export', *argv) == 1
    error = only_error(capsys.readouterr().err)
    assert f'writing --out {tmp_path}' in error
    assert re.search(reason, error)


def test_damaged_annotations_are_told(tiny, demo, tmp_path, capsys):
    shutil.copytree(demo, tmp_path / 'data')
    annotations = load_config(str(tiny[DET][0])).test_dataloader.dataset.ann_file
    (tmp_path / 'data' / annotations).write_text('{"images": [')
    argv = [*tiny[DET][:2], '--data-root', tmp_path / 'data', '--format', 'onnx']
    assert tool('export', *argv) == 1
    assert Path(annotations).name in only_error(capsys.readouterr().err)


def test_a_test_image_that_is_gone_is_told(tiny, demo, tmp_path, capsys):
    shutil.copytree(demo, tmp_path / 'data')
    for image in (tmp_path / 'data').rglob('*.[jp][pn]g'):
        image.unlink()
    argv = [*tiny[DET][:2], '--data-root', tmp_path / 'data', '--format', 'onnx']
    assert tool('export', *argv) == 1
    assert 'cannot be read: ' in only_error(capsys.readouterr().err)


@pytest.mark.parametrize('content', ['', 'no picture', 'cut'])
@pytest.mark.parametrize('config', [DET, SEG])
def test_a_damaged_picture_is_told(tiny, config, content, capsys, tmp_path):
    file = tmp_path / 'damaged.jpg'
    file.write_text(content)
    if content == 'cut':
        whole = cv2.imencode('.jpg', raw_images(64, 64, 3).byte().numpy())[1].tobytes()
        file.write_bytes(whole[: len(whole) // 2])
    argv = [*tiny[config], '--format', 'onnx', '--images', file]
    assert tool('export', *argv) == 1
    assert f'image {file} cannot be read: ' in capsys.readouterr().err


def test_windows_without_a_size_are_told():
    cfg = tiny_config(SEG)
    cfg.model.test_cfg = dict(mode='slide', stride=(32, 32))
    with pytest.raises(ValueError, match="mode 'slide' and no crop_size"):
        pictures.window(cfg)


def test_a_config_without_test_data_is_told():
    cfg = tiny_config(SEG)
    cfg.test_dataloader = None
    with pytest.raises(ValueError, match=r'\.py has no test_dataloader'):
        pictures.Loader(cfg, torch.zeros(3, 1, 1), None)


def test_without_test_data_images_are_asked_for(tiny, tmp_path, capsys):
    config, checkpoint, *_ = tiny[DET]
    argv = [config, checkpoint, '--data-root', tmp_path, '--format', 'onnx']
    assert tool('export', *argv) == 1
    assert 'or give images with --images' in capsys.readouterr().err


def test_what_was_not_exported_cannot_be_loaded(tmp_path):
    with pytest.raises(ValueError, match=r'ends in \.onnx or \.xml'):
        ExportedModel(tmp_path / 'model.pth')
    with pytest.raises(UserError, match='does not exist: give a file that'):
        ExportedModel(tmp_path / 'model.onnx')


@pytest.mark.parametrize('name', ['model.onnx', 'model.xml'])
def test_a_damaged_export_is_told(name, tmp_path):
    (tmp_path / name).write_text('<net')
    with pytest.raises(UserError, match=f'{name} cannot be read as a model of format'):
        ExportedModel(tmp_path / name)


def test_a_model_that_cannot_be_recorded_is_told():
    class Choosy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match=r'Choosy cannot be exported by torch.export'):
        convert.trace(Choosy(), torch.zeros(2, 3, 64, 96))
