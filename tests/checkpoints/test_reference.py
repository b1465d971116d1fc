"""What a user writes for a checkpoint is parsed once, and nothing of it is lost."""

from pathlib import Path

import pytest
import torch

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints.checkpoint import Checkpoint
from convnext_backbone.checkpoints.reference import CheckpointRef
from convnext_backbone.foundation.errors import UserError

SHA = 'ab' * 32
OTHER = 'cd' * 32


@pytest.mark.parametrize(
    ('source', 'scheme', 'location', 'names', 'sha256'),
    [
        ('run.pth', None, 'run.pth', (), None),
        ('run.pth#model_ema', None, 'run.pth', ('model_ema',), None),
        ('f.pth#model&backbone', None, 'f.pth', ('model', 'backbone'), None),
        (f'https://h/f#sha256={SHA}', 'https', 'https://h/f', (), SHA),
        (f'hf://a/b#sha256={SHA}&model', 'hf', 'hf://a/b', ('model',), SHA),
        (f'hf://a/b#model&sha256={SHA}', 'hf', 'hf://a/b', ('model',), SHA),
        ('META://m', 'meta', 'META://m', (), None),
        ('f.pth#', None, 'f.pth', (), None),
        ('a#b#c', None, 'a#b', ('c',), None),
    ],
)
def test_a_source_is_taken_apart(source, scheme, location, names, sha256):
    reference = CheckpointRef.parse(source)
    assert reference == CheckpointRef(source, scheme, location, names, sha256)
    assert str(reference) == source
    assert CheckpointRef.parse(reference) is reference


def test_a_path_that_exists_is_all_location(tmp_path):
    literal = tmp_path / 'run#2.pth'
    literal.touch()
    assert CheckpointRef.parse(literal).location == str(literal)
    reference = CheckpointRef.parse(f'{literal}#model')
    assert (reference.path, reference.names) == (literal, ('model',))


def test_remote_sources_are_told_from_paths():
    for source in ('http://h/f', 'HTTPS://h/f', 'timm://m', 'hf://a/b', 'meta://m'):
        assert CheckpointRef.parse(source).is_remote
        assert CheckpointRef.parse(source).path is None
    for source in ('f.pth', '/a/f.pth', 's3://b/f', 'work_dirs/http', '~/f.pth'):
        assert not CheckpointRef.parse(source).is_remote


def test_what_follows_the_scheme_is_the_address():
    assert CheckpointRef.parse('timm://convnext_tiny#a').address == 'convnext_tiny'
    assert CheckpointRef.parse('a/b.pth#a').address == 'a/b.pth'


def test_a_malformed_hash_is_told_and_the_argument_takes_precedence():
    with pytest.raises(UserError, match='expected one sha256=HEX'):
        CheckpointRef.parse(f'f.pth#sha256={SHA}&sha256={OTHER}')
    with pytest.raises(UserError, match=r"f.pth.*sha256 is 'ab', expected 64 hex"):
        CheckpointRef.parse('f.pth#sha256=ab')
    assert CheckpointRef.parse(f'f.pth#sha256={SHA.upper()}').sha256 == SHA
    assert CheckpointRef.parse(f'f.pth#sha256={SHA}', OTHER).sha256 == OTHER


@pytest.mark.parametrize('source', [None, 3, ['a.pth'], b'a.pth'])
def test_a_source_of_another_type_is_told(source):
    with pytest.raises(UserError, match='expected a path, a URL or a name'):
        CheckpointRef.parse(source)


def test_another_file_or_selection_keeps_the_rest():
    reference = CheckpointRef.parse(f'run#a&b&sha256={SHA}')
    moved = reference.at(Path('/run/best.pth'))
    assert str(moved) == f'/run/best.pth#a&b&sha256={SHA}'
    assert moved == CheckpointRef.parse(str(moved))
    renamed = reference.with_names('c')
    assert str(renamed) == f'run#c&sha256={SHA}'
    assert renamed == CheckpointRef.parse(str(renamed))


@pytest.mark.parametrize(
    ('source', 'entry', 'part', 'with_part'),
    [
        ('f.pth', None, None, 'f.pth#other'),
        ('f.pth#backbone', None, 'backbone', 'f.pth#other'),
        ('f.pth#model_ema', 'model_ema', None, 'f.pth#model_ema&other'),
        ('f.pth#backbone&model_ema', 'model_ema', 'backbone', 'f.pth#model_ema&other'),
        ('f.pth#runs&second', 'runs&second', None, 'f.pth#runs&second&other'),
    ],
)
def test_only_the_file_tells_an_entry_from_a_part(source, entry, part, with_part):
    state = {name: torch.zeros(1) for name in ('backbone.weight', 'head.weight')}
    content = {'model': state, 'model_ema': dict(state), 'runs': {'second': state}}
    unread = CheckpointRef.parse(source)
    assert unread.entry is unread.part is None
    checkpoint = Checkpoint.of(content, unread, Path('f.pth'))
    read = checkpoint.reference
    assert (read.entry, read.part) == (entry, part)
    assert str(read) == source
    assert str(read.with_part('other')) == with_part
    expected = content['model_ema'] if entry == 'model_ema' else state
    assert checkpoint.state is expected


def test_two_backbones_in_a_part_are_told_with_a_source_that_works(tmp_path):
    arch = dict(depths=(1, 1, 1, 1), channels=(8, 8, 8, 8))
    model = ConvNeXt(arch=arch)
    state = {
        f'student.{name}.{key}': value
        for name in ('a', 'b')
        for key, value in model.state_dict().items()
    }
    path = tmp_path / 'two.pth'
    torch.save({'model_ema': state}, path)
    with pytest.raises(UserError) as error:
        checkpoints.load(model, f'{path}#model_ema&student')
    advice = str(error.value).rpartition('as in ')[2]
    assert advice == f'{path}#model_ema&student.a'
    assert not checkpoints.load(model, advice).new
