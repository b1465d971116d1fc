"""A converted file is written whole, and proven to hold what was converted."""

import resource
import signal

import pytest
import torch

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import converting
from convnext_backbone.checkpoints.converting import convert
from convnext_backbone.foundation.errors import UserError

SUFFIXES = ['.safetensors', '.pth']


@pytest.fixture
def source(tmp_path):
    arch = dict(depths=(1, 1, 1, 1), channels=(8, 16, 24, 32))
    path = tmp_path / 'source.pth'
    torch.save(ConvNeXt(arch=arch).state_dict(), path)
    return path


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('damage', ['value', 'dtype', 'missing', 'more'])
def test_a_file_that_reads_back_otherwise_is_not_kept(
    tmp_path, monkeypatch, source, suffix, damage
):
    read_file = converting.read_file

    def read_damaged(path):
        content = read_file(path)
        state = content.get('state_dict', content)
        name = next(iter(state))
        if damage == 'value':
            state[name] = state[name] + 1
        elif damage == 'dtype':
            state[name] = state[name].double()
        elif damage == 'missing':
            del state[name]
        else:
            state['more'] = torch.zeros(1)
        return content

    monkeypatch.setattr(converting, 'read_file', read_damaged)
    target = tmp_path / 'out' / f'target{suffix}'
    with pytest.raises(RuntimeError, match='was not written: read back, 1 weights'):
        convert(source, target, 'ours')
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, source, suffix):
    target = tmp_path / 'out' / f'target{suffix}'
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UserError, match=f'writing {target}: .*too large'):
            convert(source, target, 'ours')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(target.parent.iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path, source):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'writing .*: .*(exists|directory)'):
        convert(source, tmp_path / 'file' / 'target.pth', 'ours')
