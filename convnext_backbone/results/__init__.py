"""Predictions: as JSON, as label maps, and as pictures.

==================  =========================================================
``predictions.py``  a data sample -> plain JSON; dumps those of an evaluation
``label_maps.py``   a segmentor's predictions as PNG files for mmseg's tools
``drawing.py``      images with predictions or annotations, contact sheets
``names.py``        names of images: their paths below a folder
``show_hook.py``    draws ground truth beside prediction during an evaluation
==================  =========================================================
"""
