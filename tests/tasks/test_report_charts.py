"""The charts of the report, as SVG."""

import re

import numpy as np
from support.work_dirs import TIMES, train_line, write_run

from convnext_backbone.tasks.report import (
    charts,
    curves,
    segmentation_findings,
)
from convnext_backbone.tasks.report import findings as found
from convnext_backbone.tasks.report.history import read_history


def test_charts_do_not_share_ids_and_escape_their_words():
    lines = [charts.Series('<b>', [1, 2, 3], [3, float('nan'), 1])]
    drawn = [
        charts.line_chart(title, lines, 'x', '$<y>') for title in ('One', 'Two <2>')
    ]
    ids = [re.findall(r'\bid="([^"]+)"', chart.svg) for chart in drawn]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    for chart, own in zip(drawn, ids, strict=True):
        used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', chart.svg)
        assert {a or b for a, b in used} <= set(own)
        assert '<y>' not in chart.svg
        assert '<2>' not in chart.svg
        assert '$&lt;y&gt;' in chart.svg
        assert 'dc:date' not in chart.svg
    assert drawn[0].svg == charts.line_chart('One', lines, 'x', '$<y>').svg


def test_many_parts_and_classes_are_cut_to_what_can_be_told_apart(tmp_path):
    parts = {f'd{i}.loss_cls': float(i) for i in range(12)}
    write_run(tmp_path, TIMES[0], [train_line(s, **parts) for s in (1, 2)])
    drawn = {c.title: c for c in curves.training_charts(read_history(tmp_path), 1)}
    chart = drawn['Parts of the loss']
    assert [key.label for key in chart.legend][:2] == ['d11.loss_cls', 'd10.loss_cls']
    assert chart.note == 'The 7 largest of 14 parts.'
    recall = np.linspace(0, 1, 101)
    many = [found.Curve(f'k{i}', recall, np.full(101, i / 20)) for i in range(20)]
    result = segmentation_findings.summarise(
        np.eye(2, dtype=int), ('a', 'b'), 1, [], []
    )
    object.__setattr__(result, 'class_curves', many)
    object.__setattr__(result, 'iou_curves', many[:3])
    by_class, _ = curves.precision_charts(result)
    labels = [key.label.partition(':')[0] for key in by_class.legend]
    assert labels == ['k19', 'k18', 'k17', 'k2', 'k1', 'k0']
