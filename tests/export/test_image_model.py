"""The exported part: its input, its padding, and its place in the whole model."""

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from support.commands import DET, SEG
from support.tiny_models import SEG_V2, raw_images, tiny_config, tiny_model

from convnext_backbone.export import images as pictures
from convnext_backbone.export.accuracy import use_exported
from convnext_backbone.export.image_model import ImageModel


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


@pytest.mark.parametrize('size', [(70, 150), (97, 64), (33, 31)])
@pytest.mark.parametrize('config', [DET, SEG, SEG_V2])
def test_any_size_is_padded_as_the_preprocessor_can(config, size):
    from mmseg.structures import SegDataSample

    images = raw_images(2, 3, *size)
    cfg = tiny_config(config)
    if config != DET:  # mmdet's pads to multiples of 32 by itself
        cfg.model.data_preprocessor.test_cfg = dict(size_divisor=32)
    init_default_scope(cfg.default_scope)
    model = tiny_model(config)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    samples = None if config == DET else [SegDataSample() for _ in images]
    data = preprocessor(dict(inputs=list(images.byte()), data_samples=samples))
    padded = data['inputs']
    assert padded.shape[2:] == pictures.padded(size)
    with torch.no_grad():
        outputs = ImageModel(model)(images)
        if config == DET:
            expected = model.extract_feat(padded)
        else:
            logits = model.encode_decode(padded, [dict(img_shape=padded.shape[2:])])
            expected = [logits[..., : size[0], : size[1]]]
    for ours, theirs in zip(outputs, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_padding_is_what_the_preprocessor_pads_with():
    model = tiny_model(DET)
    images = raw_images(1, 3, 40, 70)
    data = model.data_preprocessor(dict(inputs=list(images.byte()), data_samples=None))
    image_model = ImageModel(model)
    ours = pictures.pad(images, pictures.padded((40, 70)), image_model.fill)
    torch.testing.assert_close(image_model.normalise(ours), data['inputs'])


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
