"""The whole export: convert, check, quantise, evaluate, time, and write."""

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from convnext_backbone import __version__, checkpoints
from convnext_backbone.export import compare, convert
from convnext_backbone.export import images as pictures
from convnext_backbone.export.accuracy import evaluate
from convnext_backbone.export.backends import require
from convnext_backbone.export.exported_model import ExportedModel
from convnext_backbone.export.image_model import ImageModel
from convnext_backbone.export.output_files import check_free, publish
from convnext_backbone.export.quantize import QUANTIZERS
from convnext_backbone.tasks.infer import build_model

CHECKED_IMAGES = 4
CALIBRATION_IMAGES = 64


def export(
    cfg: Config,
    checkpoint: str,
    kind: str,
    out: str | Path,
    *,
    int8: bool = False,
    dynamic: bool = False,
    shape: Sequence[int] | None = None,
    images: Sequence[str] | None = None,
    calibration_images: int = CALIBRATION_IMAGES,
    eval_images: int | None = None,
) -> dict:
    """Export a segmentor, or the backbone and neck of a detector.

    Args:
        cfg: The config that the model was trained with.
        checkpoint: The trained model.
        kind: 'onnx' or 'openvino'.
        out: The file to write, ``.onnx`` or ``.xml``; what was measured is written
            beside it as ``NAME.onnx.json`` or ``NAME.xml.json``.
        int8: Quantise, with images of the training data, and evaluate on the test
            data before and after.
        dynamic: Take any batch, and any multiple of 32 as height and width.
        shape: Height and width of the input; by default the config's test scale or
            crop size.
        images: Files and folders to check and time on, instead of the test data.
        calibration_images: To quantise with.
        eval_images: To evaluate on; all by default.

    Returns:
        What is in the JSON.

    Raises:
        UserError: A package, an image or the checkpoint is missing, ``out`` holds
            something else, the model cannot be exported, or its outputs are not those
            of PyTorch.
    """
    out = Path(out)
    require(kind)
    check_free(out, kind, checkpoint)
    if shape:
        pictures.check_size(shape)
    checkpoints.fetch(checkpoint)
    paths = (
        pictures.given_paths(images, CHECKED_IMAGES)
        if images
        else pictures.image_paths(cfg, 'test', CHECKED_IMAGES)
    )
    logger = MMLogger.get_instance('export', logger_name='mmengine')
    reference = ImageModel(build_model(cfg, checkpoint).cpu()).eval()
    load = pictures.Loader(cfg, reference.fill, pictures.window(cfg))
    first = load(paths[0])
    size, origin = (tuple(shape), '--shape') if shape else (None, 'dynamic')
    if not dynamic and size is None:
        size, origin = pictures.default_size(cfg, first)
    batches = [load(path, size) for path in paths]
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix='.export_', dir=out.parent) as folder:
        float_file = Path(folder, 'float').with_suffix(out.suffix)
        outputs = describe_outputs(reference, batches[0])
        logger.info(f'Exporting to {kind}')
        program = convert.trace(reference.for_export(), pictures.example(first))
        convert.SAVERS[kind](program, list(outputs), float_file)
        half = pictures.padded([side // 2 for side in first.shape[-2:]])
        other = pictures.cut(first, half).repeat(2, 1, 1, 1)
        models = {'fp32': ExportedModel(float_file)}
        found = {
            'fp32': compare.differences(reference, models['fp32'], [*batches, other])
        }
        names = list(outputs)
        compare.check(found['fp32'], names, str(out), compare.MOST_DIFFERENCE)
        source, metrics = float_file, None
        if int8:
            chosen = pictures.image_paths(cfg, 'train', calibration_images)
            logger.info(f'Quantising with {len(chosen)} training images')
            source = Path(folder, 'int8').with_suffix(out.suffix)
            QUANTIZERS[kind](float_file, source, chosen, load)
            quantized = ExportedModel(source)
            found['int8'] = compare.differences(reference, quantized, batches)
            compare.check(found['int8'], names, str(out), compare.MOST_INT8_DIFFERENCE)
            before, after = evaluate(cfg, checkpoint, quantized, eval_images)
            metrics = dict(before=before, after=after)
        fixed = None if dynamic else (1, first.shape[1], *size)
        notes = describe(reference, outputs, fixed)
        done = Path(folder, 'done')  # a folder: --out may have any name
        done.mkdir()
        finished = done / out.name
        convert.finish(kind, source, finished, fixed, notes)

        name, most = 'fp32', compare.MOST_DIFFERENCE
        if int8:
            name, most = 'int8', compare.MOST_INT8_DIFFERENCE
        if int8 and fixed:  # timed beside fp32 of the same shape
            twin = Path(folder, 'twin').with_suffix(out.suffix)
            convert.finish(kind, float_file, twin, fixed, notes)
            models['fp32'] = ExportedModel(twin)
        models[name] = ExportedModel(finished)
        found[name] = compare.differences(reference, models[name], batches)
        compare.check(found[name], names, str(out), most)
        ms = compare.milliseconds({'PyTorch': reference, **models}, batches[0])
        result = dict(
            exported_by=f'convnext_backbone {__version__}',
            model=out.name,
            config=cfg.filename,
            checkpoint=checkpoint,
            format=kind,
            int8=int8,
            dynamic=dynamic,
            shape=fixed,
            shape_from=origin,
            notes=notes,
            differences={
                n: dict(zip(outputs, d, strict=True)) for n, d in found.items()
            },
            timed_shape=tuple(batches[0].shape),
            threads=torch.get_num_threads(),
            ms_per_image=ms,
            calibration_images=len(chosen) if int8 else None,
            metrics=metrics,
        )
        publish(done, out, result)
    return result


def describe_outputs(model: ImageModel, images: torch.Tensor) -> dict[str, str]:
    """Name the outputs of a model, in their order, with their shapes."""
    with torch.inference_mode():
        outputs = model(images)
    if model.task == 'segmentor':
        return {'logits': f'(N, {outputs[0].shape[1]}, H, W), before softmax'}
    return {
        f'map_{i}': f'(N, {out.shape[1]}, H/{s}, W/{s})'
        for i, out in enumerate(outputs)
        # A map of an odd side is rounded up: strides are powers of 2.
        for s in [2 ** round(math.log2(images.shape[2] / out.shape[2]))]
    }


def describe(
    model: ImageModel, outputs: dict[str, str], fixed: tuple | None
) -> dict[str, str]:
    """Tell what a user of the file has to know of its input and outputs."""
    shape = str(fixed) if fixed else '(N, C, H, W), H and W multiples of 32'
    fill = ', '.join(f'{value:g}' for value in model.fill.flatten().tolist())
    return {
        'task': model.task,
        'part': 'whole' if model.task == 'segmentor' else 'backbone and neck',
        'input': f'{convert.INPUT}: float32 {shape}, raw values 0..255, normalised '
        f'inside',
        'channels': model.channels,
        'padding': f'at the right and the bottom, with {fill} in these channels',
        'outputs': '; '.join(f'{name} {text}' for name, text in outputs.items()),
    }
