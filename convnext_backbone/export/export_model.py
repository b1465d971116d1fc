"""The whole export: convert, check, quantise, evaluate, time, and write."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import Tensor

from convnext_backbone import __version__, checkpoints
from convnext_backbone.export import compare, convert
from convnext_backbone.export import images as pictures
from convnext_backbone.export.accuracy import evaluate
from convnext_backbone.export.backends import require
from convnext_backbone.export.exported_model import ExportedModel
from convnext_backbone.export.image_model import ImageModel
from convnext_backbone.export.output_files import check_free, publish
from convnext_backbone.export.quantize import QUANTIZERS
from convnext_backbone.export.timing import milliseconds
from convnext_backbone.foundation.errors import os_errors_told
from convnext_backbone.tasks.infer import build_model

CHECKED_IMAGES = 4
SIZES_FIXED = (
    'this one; pad smaller images at the right and the bottom, with the values of fill '
    'in these channels'
)
SIZES_DYNAMIC = 'any; images are padded to multiples of 32 inside'
CALIBRATION_IMAGES = 64


@dataclass(frozen=True)
class ExportOptions:
    """What to export, and how.

    Attributes:
        kind: The format, 'onnx' or 'openvino'.
        out: The file to write, ``.onnx`` or ``.xml``. The measurements are written
            beside it as ``NAME.onnx.json`` or ``NAME.xml.json``.
        int8: Whether to quantise, with images of the training data, and to evaluate on
            the test data before and after.
        dynamic: Whether the file takes any batch size, height and width.
        shape: Height and width of the input. By default the config's test scale or
            crop size.
        images: Files and folders to check and time on, instead of the test data.
        calibration_images: Number of images to quantise with.
        eval_images: Number of images to evaluate on. By default all.
    """

    kind: str
    out: Path
    int8: bool = False
    dynamic: bool = False
    shape: tuple[int, int] | None = None
    images: Sequence[str] | None = None
    calibration_images: int = CALIBRATION_IMAGES
    eval_images: int | None = None


@dataclass(frozen=True)
class _Reference:
    """The model in PyTorch, and the images on which the exported one must equal it.

    Attributes:
        model: The part that is exported, in PyTorch.
        load: Reads image files as raw batches.
        first: The first image at its own size, (1, C, H, W).
        batches: Raw images, (1, C, H, W) each, of ``size`` unless it is None.
        size: Height and width of the input, None where they are dynamic.
        size_origin: What the size was taken from.
        outputs: The shapes of the outputs, by their names, in their order.
    """

    model: ImageModel
    load: pictures.Loader
    first: Tensor
    batches: list[Tensor]
    size: pictures.Size | None
    size_origin: str
    outputs: dict[str, str]

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """(N, C, H, W) of the input, None where it is dynamic."""
        return None if self.size is None else (1, self.first.shape[1], *self.size)


def export(cfg: Config, checkpoint: checkpoints.Source, options: ExportOptions) -> dict:
    """Export a segmentor, or the backbone and neck of a detector.

    Args:
        cfg: The config that the model was trained with.
        checkpoint: The trained model.
        options: What to export, and how.

    Returns:
        The content of the JSON file.

    Raises:
        UserError: A package, an image or the checkpoint is missing, ``out`` cannot be
            written or holds something else, the model cannot be exported, or its
            outputs differ from those of PyTorch.
    """
    kind, out = options.kind, options.out
    require(kind)
    checkpoint = checkpoints.CheckpointRef.parse(checkpoint)
    check_free(out, kind, str(checkpoint))
    if options.shape:
        pictures.check_size(options.shape)
    checkpoints.fetch(checkpoint)
    logger = MMLogger.get_instance('export', logger_name='mmengine')
    reference = _read_reference(cfg, checkpoint, options)
    logger.info(f'Exporting to {kind}')
    with _working_folder(out) as folder:
        float_file = (folder / 'float').with_suffix(out.suffix)
        differences = {'fp32': _convert(reference, options, float_file)}
        source, calibration_images = float_file, None
        if options.int8:
            source = (folder / 'int8').with_suffix(out.suffix)
            calibration_images = _quantise(cfg, reference, options, float_file, source)
        notes = describe(reference.model, reference.outputs, reference.input_shape)
        done = folder / 'done'  # its own folder, because --out may have any name
        with os_errors_told(f'writing --out {out}'):
            done.mkdir()
            convert.finish(kind, source, done / out.name, reference.input_shape, notes)
        exported = ExportedModel(done / out.name)
        precision = 'int8' if options.int8 else 'fp32'
        differences[precision] = _check_outputs(reference, exported, precision, out)
        metrics = None
        if options.int8:
            before, after = evaluate(
                cfg, checkpoint, ExportedModel(source), options.eval_images
            )
            metrics = dict(before=before, after=after)
        result = {
            **_facts(cfg, checkpoint, options, reference),
            'notes': notes,
            'differences': {
                name: dict(zip(reference.outputs, values, strict=True))
                for name, values in differences.items()
            },
            'ms_per_image': _time(reference, options, float_file, exported),
            'calibration_images': calibration_images,
            'metrics': metrics,
        }
        with os_errors_told(f'writing --out {out}'):
            publish(done, out, result)
    return result


def _facts(
    cfg: Config,
    checkpoint: checkpoints.CheckpointRef,
    options: ExportOptions,
    reference: _Reference,
) -> dict:
    """Return what the JSON file states of an export, but for the measurements."""
    return dict(
        exported_by=f'convnext_backbone {__version__}',
        model=options.out.name,
        config=cfg.filename,
        checkpoint=str(checkpoint),
        format=options.kind,
        int8=options.int8,
        dynamic=options.dynamic,
        shape=reference.input_shape,
        shape_from=reference.size_origin,
        timed_shape=tuple(reference.batches[0].shape),
        threads=torch.get_num_threads(),
    )


def _read_reference(
    cfg: Config, checkpoint: checkpoints.CheckpointRef, options: ExportOptions
) -> _Reference:
    """Load the checkpoint and the images, and choose the size of the input."""
    if options.images:
        paths = pictures.given_paths(options.images, CHECKED_IMAGES)
    else:
        paths = pictures.image_paths(cfg, 'test', CHECKED_IMAGES)
    model = ImageModel(build_model(cfg, checkpoint)[0].cpu()).eval()
    load = pictures.Loader(cfg, model.fill, pictures.window(cfg))
    first = load(paths[0])
    if options.shape:
        size, origin = options.shape, '--shape'
    elif options.dynamic:
        size, origin = None, 'dynamic'
    else:
        size, origin = pictures.default_size(cfg, first)
    batches = [load(path, size) for path in paths]
    outputs = describe_outputs(model, batches[0])
    return _Reference(model, load, first, batches, size, origin, outputs)


@contextmanager
def _working_folder(out: Path) -> Iterator[Path]:
    """Make a temporary folder beside ``out``, on the same file system.

    Finished files can then be moved to their place in one step.
    """
    with os_errors_told(f'writing --out {out}'):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(prefix='.export_', dir=out.parent)
    with folder as name:
        yield Path(name)


def _convert(reference: _Reference, options: ExportOptions, file: Path) -> list[float]:
    """Write the fp32 file of dynamic size, and check it at two sizes and batch sizes.

    One of the sizes is no multiple of 32.

    Returns:
        The difference of each output from PyTorch's.
    """
    kind, first = options.kind, reference.first
    program = convert.trace(reference.model.for_export(), pictures.example(first))
    with os_errors_told(f'writing --out {options.out}'):
        convert.SAVERS[kind](program, list(reference.outputs), file)
    half = (first.shape[2] // 2 - 5, first.shape[3] // 2 - 9)
    other = pictures.cut(first, half).repeat(2, 1, 1, 1)
    return _check_outputs(reference, ExportedModel(file), 'fp32', options.out, [other])


def _quantise(
    cfg: Config,
    reference: _Reference,
    options: ExportOptions,
    source: Path,
    target: Path,
) -> int:
    """Write the int8 file of dynamic size; return the number of images it took."""
    paths = pictures.image_paths(cfg, 'train', options.calibration_images)
    MMLogger.get_current_instance().info(
        f'Quantising with {len(paths)} training images'
    )
    with os_errors_told(f'writing --out {options.out}'):
        QUANTIZERS[options.kind](source, target, paths, reference.load)
    return len(paths)


def _check_outputs(
    reference: _Reference,
    exported: ExportedModel,
    precision: str,
    out: Path,
    more: Sequence[Tensor] = (),
) -> list[float]:
    """Compare an exported model with PyTorch on all images, and on ``more`` batches.

    Returns:
        The difference of each output from PyTorch's.

    Raises:
        UserError: One is larger than the precision explains.
    """
    found = compare.differences(reference.model, exported, [*reference.batches, *more])
    limits = {
        'fp32': compare.MOST_DIFFERENCE,
        'int8': compare.MOST_INT8_DIFFERENCE,
    }
    compare.check(found, list(reference.outputs), str(out), limits[precision])
    return found


def _time(
    reference: _Reference,
    options: ExportOptions,
    float_file: Path,
    exported: ExportedModel,
) -> dict[str, float]:
    """Time PyTorch, fp32 and, if there is one, int8, all with the same input shape."""
    models: dict[str, Callable[[Tensor], object]] = {
        'PyTorch': reference.model,
        'fp32': exported,
    }
    if options.int8:
        fp32_file = float_file
        if reference.input_shape:
            fp32_file = float_file.with_name(f'fixed{options.out.suffix}')
            convert.finish(
                options.kind, float_file, fp32_file, reference.input_shape, {}
            )
        models |= {'fp32': ExportedModel(fp32_file), 'int8': exported}
    return milliseconds(models, reference.batches[0])


def describe_outputs(model: ImageModel, images: Tensor) -> dict[str, str]:
    """Name the outputs of a model, in their order, with their shapes."""
    with torch.inference_mode():
        outputs = model(images)
    if model.task == 'segmentor':
        return {'logits': f'(N, {outputs[0].shape[1]}, H, W), before softmax'}
    return {
        f'map_{i}': f'(N, {out.shape[1]}, H/{s}, W/{s})'
        for i, out in enumerate(outputs)
        # The side of a map is rounded up where it is odd; strides are powers of 2.
        for s in [2 ** round(math.log2(images.shape[2] / out.shape[2]))]
    }


def describe(
    model: ImageModel, outputs: dict[str, str], shape: tuple[int, ...] | None
) -> dict[str, str]:
    """Write the notes in the file: what its user has to know of input and outputs.

    Args:
        model: The part that is exported.
        outputs: What :func:`describe_outputs` returned.
        shape: Shape of the input, None where it is dynamic.
    """
    size = str(shape) if shape else f'(N, {len(model.fill)}, H, W)'
    fill = ', '.join(str(value) for value in model.fill.flatten().numpy())
    return {
        'task': model.task,
        'part': 'whole' if model.task == 'segmentor' else 'backbone and neck',
        'input': f'{convert.INPUT}: float32 {size}, raw values 0..255, normalised '
        f'inside',
        'channels': model.channels,
        'sizes': SIZES_FIXED if shape else SIZES_DYNAMIC,
        'fill': fill,
        'outputs': '; '.join(f'{name} {text}' for name, text in outputs.items()),
    }
