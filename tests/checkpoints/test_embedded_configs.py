"""Configs inside checkpoints are kept as far as they are data."""

import pytest
import torch
from mmengine.config import Config

from convnext_backbone.checkpoints.safe_reading.embedded_configs import is_data
from convnext_backbone.checkpoints.safe_reading.reading import read_file


@pytest.mark.parametrize(
    'name',
    ['det/cascade_convnext_t_coco', 'seg/upernet_convnext_atto_aerial'],
)
def test_what_mmengine_stores_is_data(in_root, name):
    text = Config.fromfile(f'configs/{name}.py').pretty_text
    assert is_data(text)
    assert is_data('"""A docstring."""\n' + text)


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        'import os\nos.system("true")',
        'a = __import__("os").system("true")',
        'a = open("/tmp/x", "w")',
        'a = [x for x in range(3)]',
        'a = dict(**globals())',
        'a = {**globals()}',
        'a = dict(b=exec("1"))',
        'a.b = 1',
        'a[0] = 1',
        'def f(): pass',
        'class A: pass',
        'a = lambda: 0',
        'a = f"{exec(1)}"',
        '_base_ = "/tmp/evil.py"',
        'custom_imports = dict(imports=["antigravity"])',
        'print(1)',
        'a = (',
    ],
)
def test_what_is_more_than_data_is_told_apart(text):
    assert not is_data(text)


@pytest.mark.parametrize('place', ['meta cfg', 'meta config', 'hub cfg'])
def test_code_is_left_out_when_a_file_is_read(tmp_path, place):
    marker = tmp_path / 'executed'
    code = f'open({str(marker)!r}, "w")\na = 1'
    holder, key = place.split()
    content = {'state_dict': {'a': torch.zeros(1)}, 'meta': {'epoch': 3}}
    content['message_hub'] = {'runtime_info': {'epoch': 3}}
    where = {'meta': content['meta'], 'hub': content['message_hub']['runtime_info']}
    where[holder][key] = code
    torch.save(content, tmp_path / 'a.pth')
    del where[holder][key]
    assert read_file(tmp_path / 'a.pth') == content
    assert not marker.exists()
