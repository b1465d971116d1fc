"""Runs an exported model on PyTorch's tensors."""

from pathlib import Path

import torch
from torch import Tensor

from convnext_backbone.export.backends import kind_of, require
from convnext_backbone.export.convert import STRIDE
from convnext_backbone.export.engines import ENGINES, Engine, Shape
from convnext_backbone.export.images import pad
from convnext_backbone.foundation.errors import UserError

# What files of version 0.2.0 say of their sizes: they do not pad inside.
ONLY_MULTIPLES = f'H and W multiples of {STRIDE}'


class ExportedModel:
    """A file of ``convnext-backbone export``, run on the CPU by its inference engine.

    .. code-block:: python

        from convnext_backbone.export import ExportedModel

        model = ExportedModel('model.onnx')  # or model.xml
        outputs = model(images)  # float32 (N, C, H, W), raw: 0..255

    It returns what the model in PyTorch returns for the images padded at the right and
    the bottom, with values that are the preprocessor's padding after normalisation. A
    file of ``--dynamic`` takes images of any size and pads them itself to multiples of
    32; to a file of fixed size, smaller images are padded here. Logits are cut back to
    the size of the images. Feature maps are those of the padded images, as the heads
    of mmdet take them.

    It computes in fp32 on every machine; by itself, OpenVINO would use bf16 where the
    processor supports it.

    Args:
        path: The ``.onnx`` file, or the ``.xml`` file beside its ``.bin``.
        threads: Number of threads, by default as many as PyTorch uses.

    Attributes:
        notes: What the file states of itself: ``task``, ``input``, ``channels``,
            ``outputs`` and more.
        shape: (N, C, H, W) of the images that the file takes, None for what may vary.

    Raises:
        UserError: There is no such file, it is damaged or of another kind, or the
            package that runs it is not installed.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        kind = kind_of(str(path))
        if not Path(path).is_file():
            raise UserError(
                f'{path} does not exist: give a file that convnext-backbone export '
                f'wrote'
            )
        require(kind)
        threads = threads or torch.get_num_threads()
        try:
            self._engine: Engine = ENGINES[kind](str(path), threads)
        except Exception as error:  # the engines' own errors have no common base
            reason = str(error).strip().partition('\n')[0]
            raise UserError(
                f'{path} cannot be read as a model of format {kind}: {reason}; export '
                f'the model again'
            ) from error
        if len(self._engine.shape) != 4:
            raise UserError(
                f'{path} does not take images (N, C, H, W): give a file that '
                f'convnext-backbone export wrote'
            )
        self._path = path
        self.notes = self._engine.notes
        self.shape = self._declared_shape()

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the model on raw images.

        Args:
            images: (N, C, H, W), values 0..255 as floats or uint8, channels in the
                order that ``notes['channels']`` states.

        Returns:
            Logits (N, K, H, W), or the feature maps of the neck; float32, on the
            device of ``images``. They are copies that later calls leave alone.

        Raises:
            UserError: The file does not take images of this shape or type.
        """
        self._check(images)
        batch = self._fit(images.detach().float().cpu())
        outputs = self._engine.run(batch.contiguous().numpy())
        if any(out.shape[:1] != (len(images),) for out in outputs):
            raise UserError(
                f'{self._path} computes nothing of images of shape '
                f'{tuple(images.shape)}: give other sizes, or export the model again'
            )
        if self.notes.get('task') == 'segmentor':
            height, width = images.shape[2:]
            outputs = [logits[..., :height, :width] for logits in outputs]
        return tuple(torch.from_numpy(out).to(images.device) for out in outputs)

    def _declared_shape(self) -> Shape:
        """Return the shape that the file states, of its input or in its notes.

        OpenVINO's dynamic files of version 0.2.0 leave the channels open.
        """
        number, channels, *size = self._engine.shape
        if channels is None and 'channels' in self.notes:
            noted = self.notes['channels']
            channels = 3 if noted == 'BGR' else int(noted)
        return (number, channels, *size)

    def _check(self, images: Tensor) -> None:
        """Raise UserError unless the file takes images of this shape and type.

        OpenVINO itself runs on any: it then returns nothing, or what is left of the
        run before, or ends the process.
        """
        if not isinstance(images, Tensor):
            raise UserError(f'{self._describe_input()}, got {type(images).__name__}')
        shape = tuple(images.shape)
        takes = (
            (images.is_floating_point() or images.dtype == torch.uint8)
            and len(shape) == len(self.shape)
            and min(shape) > 0
            and _is_of(shape[:2], self.shape[:2])
            and _is_of(self._padded_size(images), self.shape[2:])
        )
        if not takes:
            raise UserError(f'{self._describe_input()}, got {images.dtype} {shape}')
        unpadded = ONLY_MULTIPLES in self.notes.get('input', '')
        if unpadded and any(side % STRIDE for side in shape[2:]):
            raise UserError(
                f'{self._path} was exported by version 0.2.0 and takes heights and '
                f'widths that are multiples of {STRIDE}, got {shape}: export it again '
                f'for images of any size'
            )

    def _fit(self, images: Tensor) -> Tensor:
        """Pad images to the size of the file, where that is fixed and larger."""
        size = self._padded_size(images)
        if size == images.shape[2:]:
            return images
        fill = [float(value) for value in self.notes['fill'].split(', ')]
        return pad(images, size, torch.tensor(fill)[:, None, None])

    def _padded_size(self, images: Tensor) -> tuple[int, int]:
        """Return the height and width of images after padding."""
        height, width = images.shape[2:]
        if 'fill' not in self.notes:
            return height, width
        return max(height, self.shape[2] or 0), max(width, self.shape[3] or 0)

    def _describe_input(self) -> str:
        """Say what the file takes, as the beginning of a message."""
        shape = ', '.join(
            name if side is None else str(side)
            for name, side in zip('NCHW', self.shape, strict=True)
        )
        smaller = (
            ', or smaller images' if 'fill' in self.notes and self.shape[2] else ''
        )
        return (
            f'{self._path} takes a tensor (N, C, H, W) of float32 or uint8 and of '
            f'shape ({shape}){smaller}'
        )


def _is_of(sides: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Tell whether sides are those wanted, where these are not None."""
    return all(want in (None, side) for side, want in zip(sides, wanted, strict=True))
