"""Compile mmcv's own ops, for models that need more of them than is served.

Nms, soft-nms, RoIAlign and the focal loss are served from torchvision's kernels; models
with deformable attention or convolutions, or rotated boxes, need the real extension. It
takes 20 minutes on two cores and a C++ compiler; MAX_JOBS limits the parallel
compilations, FORCE_CUDA=1 compiles the CUDA kernels without a GPU at hand.
"""

from collections.abc import Sequence

from convnext_backbone.cli.arguments import new_parser
from convnext_backbone.openmmlab.build_mmcv_ops import build_mmcv_ops


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    new_parser('build-mmcv-ops', __doc__).parse_args(argv)
    build_mmcv_ops()
    return 0
