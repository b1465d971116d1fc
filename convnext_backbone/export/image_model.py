"""The part of a model that is exported: raw images -> logits or feature maps."""

import copy

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor, nn

from convnext_backbone.export.images import padded
from convnext_backbone.export.rewrite import rewrite
from convnext_backbone.openmmlab.compat import normalises, swaps_channels


class ImageModel(nn.Module):
    """The part of a detector or segmentor that runs before any post-processing.

    Its input is what the model's data preprocessor takes: raw images (N, C, H, W) of
    any size, float32 in 0..255, in the channel order of :attr:`channels`.

    It normalises them and pads them at the right and the bottom to multiples of 32, as
    the preprocessors of mmdet's detectors do, and those of mmseg's segmentors with
    ``test_cfg=dict(size_divisor=32)``. What the model computes depends on the padding:
    it reaches over the border, and poolings and the statistics of GRN see it.

    A segmentor returns logits (N, K, H, W), those of ``encode_decode`` for the padded
    images, cut back to the size of the images. A detector returns the feature maps of
    ``extract_feat`` for the padded images, that is of its backbone and neck.

    Attributes:
        task: 'segmentor' or 'detector'.
        channels: 'BGR', or the number of channels if it is not 3.
        pad_value: What the preprocessor pads with, after normalisation.
        fill: (C, 1, 1), the raw value that equals it.
    """

    mean: Tensor
    std: Tensor
    fill: Tensor

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        self.model = model
        self.task = 'segmentor' if hasattr(model, 'encode_decode') else 'detector'
        preprocessor = model.data_preprocessor
        count = next(p for p in model.backbone.parameters() if p.dim() == 4).shape[1]
        self.swaps = count == 3 and swaps_channels(preprocessor)
        normalised = normalises(preprocessor)
        mean = preprocessor.mean.cpu() if normalised else torch.zeros(count, 1, 1)
        std = preprocessor.std.cpu() if normalised else torch.ones(count, 1, 1)
        self.pad_value = float(
            getattr(preprocessor, 'pad_val', getattr(preprocessor, 'pad_value', 0))
        )
        if self.swaps:  # in the order of the input; the model normalises after the swap
            mean, std = mean.flip(0), std.flip(0)
        self.register_buffer('mean', mean.expand(count, 1, 1).clone())
        self.register_buffer('std', std.expand(count, 1, 1).clone())
        self.register_buffer('fill', self.mean + self.pad_value * self.std)
        # Files are read by OpenCV, in BGR.
        self.channels = 'BGR' if count == 3 else str(count)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of raw images."""
        height, width = images.shape[2:]
        padded_height, padded_width = padded((height, width))
        borders = (0, padded_width - width, 0, padded_height - height)
        x = F.pad(self.normalise(images), borders, value=self.pad_value)
        if self.task == 'segmentor':
            logits = self.model.encode_decode(x, [dict(img_shape=x.shape[2:])])
            return (logits[..., :height, :width],)
        return tuple(self.model.extract_feat(x))

    def normalise(self, images: Tensor) -> Tensor:
        """Turn raw images into the input of the backbone."""
        x = (images - self.mean) / self.std
        return x.flip(1) if self.swaps else x

    def restore(self, x: Tensor) -> Tensor:
        """Turn the input of the backbone into raw images."""
        x = x.flip(1) if self.swaps else x
        return x * self.std + self.mean

    def for_export(self) -> 'ImageModel':
        """Return a copy in the form that inference engines run fastest."""
        copied = copy.deepcopy(self)
        rewrite(copied)
        return copied.eval()
