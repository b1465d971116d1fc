"""A user's data set: recognised, read, checked, divided and converted.

===================  ========================================================
``records.py``       what is read of a data set, and what is wrong with it
``formats/``         a folder -> its images, and how their annotations are read
``scan.py``          reads every image with its annotations
``images.py``        decodes one image and checks it
``depth.py``         images of 16 bits that hold fewer
``processes.py``     applies a function to many images in several processes
``checks.py``        faults of the data set as a whole
``duplicates.py``    near-duplicates in training and validation
``statistics.py``    counts of images, objects and sizes
``overview.py``      draws the counts and some samples on one page
``samples.py``       chooses those samples and draws their annotations
``splits.py``        a stratified hold-out, where there is no validation data
``convert.py``       writes the form that training reads
``cache.py``         keeps what was converted
===================  ========================================================
"""

from convnext_backbone.datasets.formats import FORMATS, find_source

__all__ = ['FORMATS', 'find_source']
