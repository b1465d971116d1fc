"""A ConvNeXt block's forward and backward pass, written by hand.

``function.py``   the autograd function, levels of recomputation
``weights.py``    the block's parameters; fused for inference
``rows.py``       a map as rows of channels, cut into chunks
``grn.py``        V2's GRN by rows
``depthwise.py``  the depthwise convolution and its gradients
``linear.py``     linear layers by oneDNN on a CPU
"""

from convnext_backbone.block.depthwise import depthwise_conv2d
from convnext_backbone.block.function import KEPT, NORM_EPS, residual_block
from convnext_backbone.block.grn import GRN_EPS
from convnext_backbone.block.weights import (
    BlockWeights,
    fold_weights,
    fuse_weights,
)

__all__ = [
    'GRN_EPS',
    'KEPT',
    'NORM_EPS',
    'BlockWeights',
    'depthwise_conv2d',
    'fold_weights',
    'fuse_weights',
    'residual_block',
]
