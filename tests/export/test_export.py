"""Exported models against PyTorch, and what the command writes."""

import functools
import json
import re
from pathlib import Path
from unittest import mock

import pytest
import torch
from support.commands import DET, SEG, SMALL, tool
from support.tiny_models import SEG_V2, raw_images, tiny_config, tiny_model

from convnext_backbone.config.loading import read_config
from convnext_backbone.export import ExportedModel, compare, convert
from convnext_backbone.export import images as pictures
from convnext_backbone.export.backends import SUFFIXES, openvino_core
from convnext_backbone.export.image_model import ImageModel
from convnext_backbone.export.output_files import check_free, default_path
from convnext_backbone.export.summary import _metric_table
from convnext_backbone.foundation.errors import UserError


@functools.cache
def traced(config: str) -> tuple[ImageModel, torch.export.ExportedProgram]:
    reference = ImageModel(tiny_model(config)).eval()
    example = pictures.example(raw_images(1, 3, 128, 128))
    return reference, convert.trace(reference.for_export(), example)


@pytest.mark.parametrize(
    ('config', 'kind'),
    [
        (DET, 'onnx'),
        (SEG, 'openvino'),
        pytest.param(DET, 'openvino', marks=pytest.mark.slow),
        pytest.param(SEG, 'onnx', marks=pytest.mark.slow),
        (SEG_V2, 'openvino'),
        pytest.param(SEG_V2, 'onnx', marks=pytest.mark.slow),
    ],
)
def test_exported_outputs_are_those_of_pytorch(config, kind, tmp_path):
    reference, program = traced(config)
    names = [f'map_{i}' for i in range(5)] if config == DET else ['logits']
    dynamic = tmp_path / f'dynamic{SUFFIXES[kind]}'
    convert.SAVERS[kind](program, names, dynamic)
    sizes = [(1, 3, 64, 160), (2, 3, 96, 32), (1, 3, 128, 128)]
    any_sizes = [(1, 3, 70, 150), (2, 3, 97, 131), (1, 3, 203, 64), (1, 3, 1, 33)]
    batches = [raw_images(*size) for size in (*sizes, *any_sizes)]
    model = ExportedModel(dynamic)
    assert max(compare.differences(reference, model, batches)) < 1e-4
    fixed = tmp_path / f'fixed{SUFFIXES[kind]}'
    convert.finish(kind, dynamic, fixed, sizes[0], {'channels': 'BGR'})
    model = ExportedModel(fixed)
    assert model.notes['channels'] == 'BGR'
    assert max(compare.differences(reference, model, batches[:1])) < 1e-4
    with pytest.raises(UserError, match=r'of shape \(1, 3, 64, 160\), got'):
        model(batches[1])


@pytest.mark.parametrize(
    ('config', 'kind', 'options'),
    [
        (DET, 'openvino', []),
        pytest.param(SEG, 'onnx', ['--dynamic'], marks=pytest.mark.slow),
    ],
)
def test_the_tool_writes_a_checked_model(tiny, config, kind, options, tmp_path, capsys):
    out = tmp_path / f'model{SUFFIXES[kind]}'
    argv = [*tiny[config], '--format', kind, '--out', out, *options]
    assert tool('export', *argv) == 0
    report = json.loads(Path(f'{out}.json').read_text())
    assert max(report['differences']['fp32'].values()) < 1e-4
    assert set(report['ms_per_image']) == {'PyTorch', 'fp32'}
    assert report['dynamic'] == bool(options)
    printed = capsys.readouterr().out
    assert f'model = ExportedModel({str(out)!r})' in printed
    assert ('multiples of 32' in printed) == bool(options)
    left = {p.name for p in tmp_path.iterdir()}
    weights = {'model.bin'} if kind == 'openvino' else set()
    assert left == {out.name, f'{out.name}.json', *weights}
    assert ExportedModel(out)(raw_images(1, 3, 128, 128))[0].isfinite().all()
    checkpoint = str(tiny[config][1])
    check_free(out, kind, checkpoint)  # a second export may replace it
    with pytest.raises(ValueError, match='is an export of'):
        check_free(out, kind, 'another.pth')


def test_a_metric_that_is_missing_is_a_dash():
    summary = _metric_table(dict(before={'mAP': 0.5, 'AP50': 0.75}, after={'mAP': 0.4}))
    lines = [re.findall(r'[^\s|]+', line) for line in summary.splitlines()[3:5]]
    assert lines == [['mAP', '0.5', '0.4', '-0.1'], ['AP50', '0.75', '-', '-']]


def test_nan_is_a_difference():
    x = torch.ones(3)
    assert compare.relative_difference(x, x) == 0
    assert compare.relative_difference(x * 2, x * 2.5) == 0.25
    assert compare.relative_difference(x, x * float('nan')) == float('inf')
    assert compare.relative_difference(x, torch.ones(4)) == float('inf')
    with pytest.raises(ValueError, match='output b differs'):
        compare.check([0.0, float('inf')], ['a', 'b'], 'f.onnx', 1e-4)


def test_default_sizes():
    first = torch.zeros(1, 3, 128, 192)
    cfg = tiny_config(SEG)
    assert pictures.default_size(cfg, first)[0] == (256, 256)  # windows
    cfg = tiny_config(DET)
    assert pictures.default_size(cfg, first) == ((128, 192), 'the first image')
    cfg = read_config('det/cascade_convnext_t_coco')
    assert pictures.default_size(cfg, first)[0] == (800, 1344)


def test_default_files(tmp_path):
    checkpoint = tmp_path / 'best.pth'
    checkpoint.touch()
    path = default_path('a/tiny.py', f'{checkpoint}#model_ema', 'wd', 'onnx', False)
    assert path == tmp_path / 'tiny.onnx'
    path = default_path('a/tiny.py', 'meta://x', 'wd', 'openvino', True)
    assert path == Path('wd/tiny_int8.xml')


@pytest.mark.slow
@pytest.mark.parametrize('kind', SUFFIXES)
@pytest.mark.parametrize('config', [DET, SEG])
def test_int8_is_calibrated_and_evaluated(
    tiny, config, kind, tmp_path, capsys, monkeypatch
):
    engines = mock.Mock(return_value=openvino_core())
    monkeypatch.setattr('openvino.Core', engines)
    out = tmp_path / f'model{SUFFIXES[kind]}'
    argv = [*tiny[config], '--format', kind, '--int8', '--out', out]
    argv += ['--calibration-images', 3, '--eval-images', 2, '--cfg-options', *SMALL]
    assert tool('export', *argv) == 0
    report = json.loads(Path(f'{out}.json').read_text())
    assert report['calibration_images'] == 3
    assert 1e-4 < max(report['differences']['int8'].values()) < 0.5
    metric = 'mIoU' if config == SEG else 'coco/segm_mAP'
    assert set(report['metrics']) == {'before', 'after'}
    assert metric in report['metrics']['after']
    assert metric in capsys.readouterr().out
    bits = 'i8' if kind == 'openvino' else 'QuantizeLinear'
    assert bits.encode() in out.read_bytes()
    # The second engine to end in a process would leave a freed signal stack.
    assert not engines.called
