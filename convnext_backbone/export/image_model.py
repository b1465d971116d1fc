"""The part of a model that is exported: raw images -> logits or feature maps."""

import copy

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from convnext_backbone.export.rewrite import rewrite
from convnext_backbone.openmmlab.compat import normalises, swaps_channels


class ImageModel(nn.Module):
    """The part of a detector or segmentor that runs before any post-processing.

    Its input is what the model's data preprocessor takes: raw images (N, C, H, W),
    float32 in 0..255, in the channel order of :attr:`channels`. Normalisation is part
    of it; padding is not, see :attr:`fill`.

    A segmentor returns logits (N, K, H, W), as ``encode_decode`` does; a detector
    returns the feature maps of ``extract_feat``, that is of its backbone and neck.

    Attributes:
        task: 'segmentor' or 'detector'.
        channels: 'BGR', or the number of channels if it is not 3.
        fill: (C, 1, 1), the raw value that equals the preprocessor's padding after
            normalisation.
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
        pad = getattr(preprocessor, 'pad_val', getattr(preprocessor, 'pad_value', 0))
        if self.swaps:  # in the order of the input; the model normalises after the swap
            mean, std = mean.flip(0), std.flip(0)
        self.register_buffer('mean', mean.expand(count, 1, 1).clone())
        self.register_buffer('std', std.expand(count, 1, 1).clone())
        self.register_buffer('fill', self.mean + pad * self.std)
        # Files are read by OpenCV, in BGR.
        self.channels = 'BGR' if count == 3 else str(count)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of raw images."""
        x = self.normalise(images)
        if self.task == 'segmentor':
            metas = [dict(img_shape=x.shape[2:])]
            return (self.model.encode_decode(x, metas),)
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
