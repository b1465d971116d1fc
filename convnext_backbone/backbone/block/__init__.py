"""A ConvNeXt block, its forward and backward pass written by hand.

``module.py``     the block with its parameters, and the plain formula
``function.py``   the autograd function, levels of recomputation
``activations.py``  GELU and others, with their gradients
``block_weights.py``  the block's parameters, cast and folded
``rows.py``       a map as rows of channels, cut into chunks
``grn.py``        V2's GRN by rows
``depthwise.py``  gradients of the depthwise convolution
``linear.py``     linear layers by oneDNN on a CPU
"""

from convnext_backbone.backbone.block.activations import ACTIVATIONS
from convnext_backbone.backbone.block.block_weights import BlockWeights, fold_weights
from convnext_backbone.backbone.block.function import KEPT, NORM_EPS
from convnext_backbone.backbone.block.grn import relative_norm
from convnext_backbone.backbone.block.module import GRN, Block

__all__ = [
    'ACTIVATIONS',
    'GRN',
    'KEPT',
    'NORM_EPS',
    'Block',
    'BlockWeights',
    'fold_weights',
    'relative_norm',
]
