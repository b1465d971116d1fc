"""Parameters and FLOPs as published, and the table of docs/model_zoo.md beside ours."""

from collections.abc import Sequence

from convnext_backbone.inspect_config.model_info import ModelInfo

CONVNEXT = 'arXiv 2201.03545'
CONVNEXT_V2 = 'arXiv 2301.00808'
SWIN = 'arXiv 2103.14030'
# By config: parameters in millions (None if not stated), FLOPs in G, source.
PUBLISHED: dict[str, tuple[int | None, int, str]] = {
    'det/mask_convnext_t_coco': (48, 262, CONVNEXT),
    'det/cascade_convnext_t_coco': (86, 741, CONVNEXT),
    'det/cascade_convnext_s_coco': (108, 827, CONVNEXT),
    'det/cascade_convnext_b_coco': (146, 964, CONVNEXT),
    'det/cascade_convnext_b_in22k_coco': (146, 964, CONVNEXT),
    'det/cascade_convnext_l_in22k_coco': (255, 1354, CONVNEXT),
    'det/cascade_convnext_xl_in22k_coco': (407, 1898, CONVNEXT),
    'det/mask_convnextv2_b_coco': (None, 486, CONVNEXT_V2),
    'det/mask_convnextv2_l_coco': (None, 875, CONVNEXT_V2),
    'det/mask_convnextv2_h_coco': (None, 2525, CONVNEXT_V2),
    'det/mask_swin_t_coco': (48, 267, SWIN),
    'det/cascade_r50_coco': (82, 739, CONVNEXT),
    'det/cascade_swin_t_coco': (86, 745, CONVNEXT),
    'det/cascade_swin_s_coco': (107, 838, CONVNEXT),
    'det/cascade_swin_b_coco': (145, 982, CONVNEXT),
    # The published 1382 leave out the two matrix products of attention, 9.3 G, which
    # the figures of the smaller models include.
    'det/cascade_swin_l_in22k_coco': (253, 1382, CONVNEXT),
    'seg/upernet_convnext_t_ade20k': (60, 939, CONVNEXT),
    'seg/upernet_convnext_s_ade20k': (82, 1027, CONVNEXT),
    'seg/upernet_convnext_b_ade20k': (122, 1170, CONVNEXT),
    'seg/upernet_convnext_b_in22k_640_ade20k': (122, 1828, CONVNEXT),
    'seg/upernet_convnext_l_in22k_640_ade20k': (235, 2458, CONVNEXT),
    'seg/upernet_convnext_xl_in22k_640_ade20k': (391, 3335, CONVNEXT),
    'seg/upernet_swin_t_ade20k': (60, 945, SWIN),
}


def markdown_table(rows: Sequence[ModelInfo]) -> str:
    """Write the table of docs/model_zoo.md: published parameters and FLOPs beside ours.

    Args:
        rows: The costs of models whose ``config`` is a key of :data:`PUBLISHED`.
    """
    lines = [
        '| config | params: published | here | FLOPs: published | here | source |',
        '|---|---|---|---|---|---|',
    ]
    for info in rows:
        params, flops, source = PUBLISHED[info.config]
        lines.append(
            f'| [`{info.config}`](../configs/{info.config}.py) | '
            f'{"not stated" if params is None else f"{params} M"} | '
            f'{info.params / 1e6:.1f} M | {flops} G | {info.flops / 1e9:.1f} G | '
            f'{source} |'
        )
    return '\n'.join(lines) + '\n'
