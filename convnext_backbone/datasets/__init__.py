"""A user's data set: recognised, read, checked, divided and converted.

===================  ========================================================
``records.py``       what is read of a data set, and what is wrong with it
``formats/``         a folder -> its images, and how their annotations are read
``scan.py``          all of them, in several processes; ``images.py`` opens one
``checks.py``        faults of the whole; ``duplicates.py`` twins in two splits
``statistics.py``    its numbers; ``picture.py`` draws them, ``samples.py`` a few images
``splits.py``        training and validation, where nobody divided it
``convert.py``       the form that training reads; ``cache.py`` keeps it
===================  ========================================================
"""

from convnext_backbone.datasets.formats import FORMATS, find_source

__all__ = ['FORMATS', 'find_source']
