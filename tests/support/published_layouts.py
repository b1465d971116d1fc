"""Names and shapes of the weights in Meta's published ConvNeXt models.

Written from the configs of facebookresearch/ConvNeXt and the naming rules of
mmdet 2, mmseg 0.11 and mmcv 1.3, with which the models were trained, and from nothing
that is installed. Comments name the files of those repositories.

The state dict that these versions save has all of a layout and nothing else:

* running_mean, running_var and num_batches_tracked (a scalar, int64) of each BatchNorm
  are in it.
* No data_preprocessor: the data pipeline normalised the images.
* No anchors and no class weights: AnchorGenerator and the losses keep them as plain
  attributes.
* No backbone.norm and no backbone.head: a classifier's ends are not built.
"""

import itertools
import math

Shape = tuple[int, ...]
Layout = dict[str, Shape]
Tree = dict | list | Shape  # modules by name, a ModuleList or Sequential, a weight

# {object_detection,semantic_segmentation}/configs/convnext: depths and dims
ARCHS: dict[str, tuple[Shape, Shape]] = {
    'tiny': ((3, 3, 9, 3), (96, 192, 384, 768)),
    'small': ((3, 3, 27, 3), (96, 192, 384, 768)),
    'base': ((3, 3, 27, 3), (128, 256, 512, 1024)),
    'large': ((3, 3, 27, 3), (192, 384, 768, 1536)),
    'xlarge': ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}
BUFFERS = ('running_mean', 'running_var', 'num_batches_tracked')


def backbone(depths: Shape, channels: Shape, v2: bool = False) -> Layout:
    """Lay out a backbone with the LayerNorms of its four outputs, without prefix.

    Args:
        depths: Blocks of each stage.
        channels: Width of each stage.
        v2: GRN in place of layer scale.
    """
    return _flatten(_backbone(depths, channels, v2))


def mask_rcnn(arch: str, num_classes: int = 80) -> Layout:
    """Lay out a Mask R-CNN of mask_rcnn_convnext_fpn.py."""
    # mmdet/models/roi_heads/bbox_heads/convfc_bbox_head.py: Shared2FCBBoxHead
    box = _box_head([], [_fc(256 * 7 * 7, 1024), _fc(1024, 1024)], num_classes)
    return _flatten(_detector(arch, box, _mask_head(num_classes)))


def cascade_mask_rcnn(arch: str, num_classes: int = 80) -> Layout:
    """Lay out a Cascade Mask R-CNN of cascade_mask_rcnn_convnext_*_4conv1f_*.py."""
    # mmdet/models/roi_heads/bbox_heads/convfc_bbox_head.py: ConvFCBBoxHead
    convs = [_conv_bn(256, 256, 3) for _ in range(4)]
    box = _box_head(convs, [_fc(256 * 7 * 7, 1024)], num_classes)
    # mmdet/models/roi_heads/cascade_roi_head.py: both heads are built for each stage
    return _flatten(_detector(arch, [box] * 3, [_mask_head(num_classes)] * 3))


def upernet(arch: str, num_classes: int = 150) -> Layout:
    """Lay out an UperNet of upernet_convnext.py with its auxiliary head."""
    depths, channels = ARCHS[arch]
    return _flatten(
        {
            'backbone': _backbone(depths, channels),
            'decode_head': _uper_head(channels, 512, num_classes),
            # mmseg/models/decode_heads/fcn_head.py: num_convs=1, no concat_input
            'auxiliary_head': {
                'convs': [_conv_bn(channels[2], 256, 3)],
                'conv_seg': _conv(256, num_classes, 1),
            },
        }
    )


def count_parameters(layout: Layout) -> int:
    """Count the numbers that are trained, which leaves out BatchNorm's buffers."""
    return sum(
        math.prod(shape) for key, shape in layout.items() if not key.endswith(BUFFERS)
    )


def _backbone(depths: Shape, channels: Shape, v2: bool = False) -> Tree:
    # object_detection/mmdet/models/backbones/convnext.py; segmentation's has its names
    stem = [_conv(3, channels[0], 4), _norm(channels[0])]
    downs = [
        [_norm(c), _conv(c, wider, 2)] for c, wider in itertools.pairwise(channels)
    ]
    return {
        'downsample_layers': [stem, *downs],
        'stages': [
            [_block(c, v2) for _ in range(depth)]
            for depth, c in zip(depths, channels, strict=True)
        ],
        **{f'norm{i}': _norm(c) for i, c in enumerate(channels)},
    }


def _block(c: int, v2: bool) -> Tree:
    # facebookresearch/ConvNeXt-V2 models/utils.py: GRN on (N, H, W, 4C)
    grn = {'gamma': (1, 1, 1, 4 * c), 'beta': (1, 1, 1, 4 * c)}
    return {
        'dwconv': {'weight': (c, 1, 7, 7), 'bias': (c,)},  # groups=c
        'norm': _norm(c),
        'pwconv1': _fc(c, 4 * c),
        'pwconv2': _fc(4 * c, c),
        **({'grn': grn} if v2 else {'gamma': (c,)}),
    }


def _detector(arch: str, box_head: Tree, mask_head: Tree) -> Tree:
    depths, channels = ARCHS[arch]
    return {
        'backbone': _backbone(depths, channels),
        # mmdet/models/necks/fpn.py: ConvModules without norm, so with a bias; the
        # fifth output is a max pool
        'neck': {
            'lateral_convs': [{'conv': _conv(c, 256, 1)} for c in channels],
            'fpn_convs': [{'conv': _conv(256, 256, 3)} for _ in channels],
        },
        # mmdet/models/dense_heads/rpn_head.py: 3 anchors a place (1 scale, 3 ratios),
        # one sigmoid score and 4 deltas each
        'rpn_head': {
            'rpn_conv': _conv(256, 256, 3),
            'rpn_cls': _conv(256, 3, 1),
            'rpn_reg': _conv(256, 3 * 4, 1),
        },
        'roi_head': {'bbox_head': box_head, 'mask_head': mask_head},
    }


def _box_head(convs: list, fcs: list, num_classes: int) -> Tree:
    # convfc_bbox_head.py: a score for the background too; reg_class_agnostic=False,
    # so 4 deltas for each class
    return {
        'shared_convs': convs,
        'shared_fcs': fcs,
        'fc_cls': _fc(1024, num_classes + 1),
        'fc_reg': _fc(1024, 4 * num_classes),
    }


def _mask_head(num_classes: int) -> Tree:
    # mmdet/models/roi_heads/mask_heads/fcn_mask_head.py: the upsampling is a
    # ConvTranspose2d, whose weight is (in, out, k, k); a mask for each class
    return {
        'convs': [{'conv': _conv(256, 256, 3)} for _ in range(4)],
        'upsample': _conv(256, 256, 2),
        'conv_logits': _conv(256, num_classes, 1),
    }


def _uper_head(channels: Shape, width: int, num_classes: int) -> Tree:
    # mmseg/models/decode_heads/uper_head.py; decode_head.py for conv_seg; psp_head.py
    # for psp_modules, a (pool, ConvModule) for each of the scales 1, 2, 3, 6
    return {
        'conv_seg': _conv(width, num_classes, 1),
        'psp_modules': [[{}, _conv_bn(channels[-1], width, 1)] for _ in range(4)],
        'bottleneck': _conv_bn(channels[-1] + 4 * width, width, 3),
        'lateral_convs': [_conv_bn(c, width, 1) for c in channels[:-1]],
        'fpn_convs': [_conv_bn(width, width, 3) for _ in channels[:-1]],
        'fpn_bottleneck': _conv_bn(len(channels) * width, width, 3),
    }


def _conv_bn(inputs: int, outputs: int, side: int) -> Tree:
    # mmcv/cnn/bricks/conv_module.py: no bias before a norm; norm.py: SyncBN is named bn
    buffers = dict(zip(BUFFERS, ((outputs,), (outputs,), ()), strict=True))
    return {
        'conv': {'weight': (outputs, inputs, side, side)},
        'bn': {**_norm(outputs), **buffers},
    }


def _conv(inputs: int, outputs: int, side: int) -> Tree:
    return {'weight': (outputs, inputs, side, side), 'bias': (outputs,)}


def _fc(inputs: int, outputs: int) -> Tree:
    return {'weight': (outputs, inputs), 'bias': (outputs,)}


def _norm(c: int) -> Tree:
    return {'weight': (c,), 'bias': (c,)}


def _flatten(tree: Tree, name: str = '') -> Layout:
    if isinstance(tree, tuple):
        return {name: tree}
    parts = enumerate(tree) if isinstance(tree, list) else tree.items()
    return {
        key: shape
        for part, subtree in parts
        for key, shape in _flatten(subtree, f'{name}.{part}'.lstrip('.')).items()
    }
