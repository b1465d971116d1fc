"""Configs: found by name, read, overridden and checked before anything is built.

================  ===========================================================
``names.py``      ``det/cascade_convnext_t_coco`` -> the file
``loading.py``    what the user wrote -> a config, ready for the Runner
``parts.py``      finds data sets, heads and backbones inside of a config
``checks.py``     what has to agree in it: paths, classes, channels, ops
================  ===========================================================
"""
