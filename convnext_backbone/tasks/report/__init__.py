"""The report of a training: one HTML file that needs no other file and no network.

============================  ===============================================
``history.py``                a work dir -> its runs, joined
``collect_findings.py``       config and checkpoint -> findings, with a metric
                              of mmengine for each task:
``detection_findings.py``     AP by class, with ``coco_metric.py``,
                              ``detection_matching.py`` (confusion matrix) and
                              ``detection_examples.py`` (pictures)
``segmentation_findings.py``  IoU by class, confusion matrix, pictures
``findings.py``               the form of the findings of both
``facts.py``                  model, data, schedule, environment, commands
``charts.py``                 numbers -> SVG; ``curves.py`` chooses the numbers
``pictures.py``               images -> JPEGs inside the page
``page.py``                   all of it -> ``report.html``, by
                              ``page.html.j2`` and ``style.css``
============================  ===============================================
"""

from convnext_backbone.tasks.report.page import write_report

__all__ = ['write_report']
