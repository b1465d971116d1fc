"""A ConvNeXt block, its forward and backward pass written by hand.

``module.py``     the block with its parameters, and the plain formula
``function.py``   the autograd function, levels of recomputation
``weights.py``    the block's parameters; fused for inference
``rows.py``       a map as rows of channels, cut into chunks
``grn.py``        V2's GRN by rows
``depthwise.py``  gradients of the depthwise convolution
``linear.py``     linear layers by oneDNN on a CPU
"""

from convnext_backbone.block.function import KEPT, NORM_EPS
from convnext_backbone.block.grn import GRN_EPS
from convnext_backbone.block.module import GRN, Block
from convnext_backbone.block.weights import BlockWeights, fold_weights

__all__ = [
    'GRN',
    'GRN_EPS',
    'KEPT',
    'NORM_EPS',
    'Block',
    'BlockWeights',
    'fold_weights',
]
