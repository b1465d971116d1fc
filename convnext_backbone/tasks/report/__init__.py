"""The report of a training: one HTML file that needs nothing else.

===================  ========================================================
``history.py``       a work dir -> its runs, joined
``evaluation.py``    config and checkpoint -> findings, with the two metrics in
                     ``detection.py`` (with ``coco.py``) and ``segmentation.py``
``findings.py``      what both of them return
``facts.py``         what was trained how, where, and with which command
``charts.py``        numbers -> SVG; ``curves.py`` chooses the numbers
``pictures.py``      images -> JPEGs inside of the page
``page.py``          all of it -> ``report.html``: ``page.html.j2``, ``style.css``
===================  ========================================================
"""

from convnext_backbone.tasks.report.page import write_report

__all__ = ['write_report']
