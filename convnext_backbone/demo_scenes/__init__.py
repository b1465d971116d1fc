"""The embedded demo data: scenes drawn from a seed, needing no download.

`shapes` holds the classes and rasterises them, `painting` colours, textures and
lights, `scenes` puts both together, `writers` knows the file formats, `demo` the
data set on disk and `preview` how to look at it. Needs OpenCV, NumPy and
pycocotools; no torch.
"""

from convnext_backbone.demo_scenes.demo import demo_scene, make_demo_data
from convnext_backbone.demo_scenes.preview import preview_sheet
from convnext_backbone.demo_scenes.scenes import Scene, draw_scene
from convnext_backbone.demo_scenes.shapes import CLASSES, PALETTE

# Semantic segmentation has the background for a class of its own.
SEG_CLASSES = ('background', *CLASSES)
SEG_PALETTE = ((70, 70, 78), *PALETTE)

__all__ = [
    'CLASSES',
    'PALETTE',
    'SEG_CLASSES',
    'SEG_PALETTE',
    'Scene',
    'demo_scene',
    'draw_scene',
    'make_demo_data',
    'preview_sheet',
]
