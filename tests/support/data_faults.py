"""Faults of a data set on disk, and edits that cause them."""

import json
import re

from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.checks import find_faults
from convnext_backbone.datasets.scan import scan


def found_in(root, **kwargs):
    """(level, kind, name of the file, id) of each fault."""
    source = find_source(root, **kwargs)
    faults = find_faults(source, scan(source, workers=1))
    return [(f.level, f.kind, re.split(r'[/\\]', f.file)[-1], f.id) for f in faults]


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
