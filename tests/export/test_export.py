"""Exported models against PyTorch's, and what the tool does around them."""

import copy
import functools
import json
import re
import sys
from pathlib import Path
from unittest import mock

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from support.commands import DET, SEG, SMALL, tool
from support.paths import ROOT
from torch import Tensor, nn

from convnext_backbone.backbone.block import GRN, Block
from convnext_backbone.backbone.convnext import ConvNeXt, LayerNorm2d
from convnext_backbone.config.loading import read_config
from convnext_backbone.export import ExportedModel, compare, convert
from convnext_backbone.export import images as pictures
from convnext_backbone.export.backends import SUFFIXES, openvino_core
from convnext_backbone.export.evaluation import use_exported
from convnext_backbone.export.graph import ImageModel
from convnext_backbone.export.output import check_free, default_path
from convnext_backbone.export.rewrite import AdaptiveMean, rewrite
from convnext_backbone.export.summary import _metric_table

CHANNELS = [8, 16, 24, 32]
OTHER_ACTS = ('gelu_tanh', 'silu', 'relu', 'quick_gelu')


def tiny_config(config: str) -> Config:
    cfg = read_config(str(ROOT / config))
    model = cfg.model
    model.backbone.arch = dict(depths=[1, 1, 2, 1], channels=CHANNELS)
    if config == DET:
        model.neck.in_channels = CHANNELS
    else:
        model.decode_head.update(in_channels=CHANNELS, channels=16)
        model.auxiliary_head.in_channels = CHANNELS[2]
    return cfg


def tiny_model(config: str) -> nn.Module:
    cfg = tiny_config(config)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    return stir(model)


def stir(module: nn.Module) -> nn.Module:
    """Give every parameter a value that shows when it is left out."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


@functools.cache
def traced(config: str) -> tuple[ImageModel, torch.export.ExportedProgram]:
    reference = ImageModel(tiny_model(config)).eval()
    example = pictures.example(raw_images(1, 3, 128, 128))
    return reference, convert.trace(reference.for_export(), example)


def raw_images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.manual_seed(1)).float()


@pytest.fixture(scope='module')
def tiny(tmp_path_factory, demo) -> dict[str, list]:
    """A config of each task, a checkpoint of it, and the demo data, as arguments."""
    found = {}
    for config in (DET, SEG):
        folder = tmp_path_factory.mktemp('tiny')
        cfg = tiny_config(config)
        file = folder / f'{Path(config).stem}.py'
        cfg.dump(file)
        checkpoint = folder / 'tiny.pth'
        torch.save(tiny_model(config).state_dict(), checkpoint)
        found[config] = [file, checkpoint, '--data-root', demo]
    return found


@pytest.mark.parametrize(
    ('use_grn', 'act', 'norm_eps'),
    [(False, 'gelu', 1e-6), (True, 'gelu', 1e-6)]
    + [(v2, act, 0.1) for v2, act in zip([0, 1, 0, 1], OTHER_ACTS, strict=True)],
)
def test_the_rewritten_backbone_is_the_same_function(use_grn, act, norm_eps):
    backbone = stir(
        ConvNeXt(
            dict(depths=[1, 1, 2, 1], channels=CHANNELS),
            layer_scale_init_value=0.5,
            use_grn=bool(use_grn),
            act=act,
            norm_eps=norm_eps,
        )
    ).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = backbone(x)
        actual = rewrite(backbone)(x)
    kinds = (Block, GRN, LayerNorm2d, nn.Linear)
    assert not [m for m in backbone.modules() if isinstance(m, kinds)]
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [1, 2, 3, 6, (2, 5), (None, 3)])
@pytest.mark.parametrize('shape', [(7, 10), (6, 6), (4, 1), (13, 32)])
def test_adaptive_mean_is_adaptive_average_pooling(size, shape):
    pool = nn.AdaptiveAvgPool2d(size)
    x = torch.randn(2, 3, *shape)
    torch.testing.assert_close(AdaptiveMean(pool)(x), pool(x))


@pytest.mark.parametrize('factor', [2, 3])
def test_upsampling_is_recorded_for_every_size(factor):
    from mmseg.models.utils import Upsample

    module = nn.Sequential(Upsample(scale_factor=factor, mode='bilinear'))
    program = convert.trace(rewrite(copy.deepcopy(module)), torch.zeros(2, 3, 64, 96))
    x = raw_images(1, 3, 96, 32)
    torch.testing.assert_close(program.module(check_guards=False)(x), module(x))


@pytest.mark.parametrize('config', [DET, SEG])
def test_the_image_model_does_what_the_preprocessor_does(config):
    model = tiny_model(config)
    images = raw_images(2, 3, 64, 96)
    data = model.data_preprocessor(dict(inputs=list(images.byte()), data_samples=None))
    image_model = ImageModel(model)
    torch.testing.assert_close(image_model.normalise(images), data['inputs'])
    torch.testing.assert_close(image_model.restore(data['inputs']), images)
    with torch.no_grad():
        outputs = image_model(images)
        expected = (
            [model.encode_decode(data['inputs'], [dict(img_shape=(64, 96))])]
            if config == SEG
            else model.extract_feat(data['inputs'])
        )
    for ours, theirs in zip(outputs, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_padding_is_what_the_preprocessor_pads_with():
    model = tiny_model(DET)
    images = raw_images(1, 3, 40, 70)
    data = model.data_preprocessor(dict(inputs=list(images.byte()), data_samples=None))
    image_model = ImageModel(model)
    ours = pictures.pad(images, pictures.padded((40, 70)), image_model.fill)
    torch.testing.assert_close(image_model.normalise(ours), data['inputs'])


@pytest.mark.parametrize('kind', SUFFIXES)
@pytest.mark.parametrize('config', [DET, SEG])
def test_exported_outputs_are_those_of_pytorch(config, kind, tmp_path):
    reference, program = traced(config)
    names = ['logits'] if config == SEG else [f'map_{i}' for i in range(5)]
    dynamic = tmp_path / f'dynamic{SUFFIXES[kind]}'
    convert.SAVERS[kind](program, names, dynamic)
    sizes = [(1, 3, 64, 160), (2, 3, 96, 32), (1, 3, 128, 128)]
    batches = [raw_images(*size) for size in sizes]
    model = ExportedModel(dynamic)
    assert max(compare.differences(reference, model, batches)) < 1e-4
    fixed = tmp_path / f'fixed{SUFFIXES[kind]}'
    convert.finish(kind, dynamic, fixed, sizes[0], {'channels': 'BGR'})
    model = ExportedModel(fixed)
    assert model.notes['channels'] == 'BGR'
    assert max(compare.differences(reference, model, batches[:1])) < 1e-4
    with pytest.raises(Exception, match=r'(?i)shape|dimension'):
        model(batches[1])


@pytest.mark.parametrize('config', [DET, SEG])
def test_predictions_with_the_exported_part_are_the_same(config):
    from mmdet.structures import DetDataSample
    from mmseg.structures import SegDataSample

    # For detectors no multiple of 32; padding of segmentors reaches over the border.
    size = (70, 150) if config == DET else (64, 160)
    model, other = tiny_model(config), tiny_model(config)
    use_exported(other, ImageModel(tiny_model(config)))
    kind = SegDataSample if config == SEG else DetDataSample
    meta = dict(
        ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0), img_id=0, img_path=''
    )
    found = []
    for m in (model, other):
        data = dict(
            inputs=[raw_images(3, *size).byte()], data_samples=[kind(metainfo=meta)]
        )
        with torch.no_grad():
            (sample,) = m.test_step(data)
        found.append(
            sample.seg_logits.data if config == SEG else sample.pred_instances.bboxes
        )
    assert len(found[0])
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-2 if config == DET else 1e-4)


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


def test_a_wrong_model_is_not_written(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(compare, 'MOST_DIFFERENCE', 0.0)
    out = tmp_path / 'model.onnx'
    assert tool('export', *tiny[DET], '--format', 'onnx', '--out', out) == 1
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


def test_a_metric_that_is_missing_is_a_dash():
    summary = _metric_table(dict(before={'mAP': 0.5, 'AP50': 0.75}, after={'mAP': 0.4}))
    lines = [re.findall(r'[^\s|]+', line) for line in summary.splitlines()[3:5]]
    assert lines == [['mAP', '0.5', '0.4', '-0.1'], ['AP50', '0.75', '-', '-']]


def test_without_test_data_images_are_asked_for(tiny, tmp_path, capsys):
    config, checkpoint, *_ = tiny[DET]
    argv = [config, checkpoint, '--data-root', tmp_path, '--format', 'onnx']
    assert tool('export', *argv) == 1
    assert 'or give pictures with --images' in capsys.readouterr().err


def test_what_was_not_exported_cannot_be_loaded(tmp_path):
    with pytest.raises(ValueError, match=r'expected \.onnx or \.xml'):
        ExportedModel(tmp_path / 'model.pth')
    with pytest.raises(ValueError, match='does not exist: give what'):
        ExportedModel(tmp_path / 'model.onnx')


def test_a_model_that_cannot_be_recorded_is_told():
    class Choosy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match='Choosy cannot be exported by torch.export'):
        convert.trace(Choosy(), torch.zeros(2, 3, 64, 96))


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
