import pytest
from support.commands import SEG, tool

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.tasks.evaluate import dump_config


@pytest.mark.parametrize(
    ('option', 'place', 'message'),
    [
        ('--out', 'file/a.json', 'writing {}/file/a.json: Not a directory ({}/file)'),
        ('--out', 'folder.pkl', 'writing {}/folder.pkl: Is a directory'),
        (
            '--out',
            'a.txt',
            '--out {}/a.txt: expected a file that ends in .json or .pkl, or a folder '
            '(a name without suffix)',
        ),
        (
            '--out',
            'full',
            '--out {}/full holds other files: give an empty or a new folder',
        ),
        ('--out', 'file/maps', 'creating the folder {}/file/maps: Not a directory'),
        ('--show-dir', 'file', 'creating the folder {}/file: Not a directory'),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    demo, in_root, tmp_path, capsys, option, place, message
):
    (tmp_path / 'file').touch()
    (tmp_path / 'a.pth').touch()
    (tmp_path / 'folder.pkl').mkdir()
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'old.png').touch()
    argv = ['test', SEG, tmp_path / 'a.pth', '--data-root', demo]
    argv += ['--work-dir', tmp_path / 'work', option, tmp_path / place]
    assert tool(*argv) == 1
    told = message.replace('{}', str(tmp_path))
    assert capsys.readouterr().err == f'error: {told}\n'


def test_the_place_says_what_is_written(tmp_path):
    assert dump_config('a.pkl', 'mmdet')['type'] == 'DumpDetResults'
    assert dump_config('a.pkl', 'mmseg')['type'] == 'DumpResults'
    assert dump_config('a.json', 'mmseg')['type'] == 'convnext_backbone.DumpPredictions'
    dotted = tmp_path / 'run.1'
    for folder in ('maps', 'maps.1/', str(dotted)):
        dotted.mkdir(exist_ok=True)
        metric = dict(type='convnext_backbone.DumpLabelMaps', folder=folder)
        assert dump_config(folder, 'mmseg') == metric
        with pytest.raises(UserError, match=r'ends in \.json or \.pkl$'):
            dump_config(folder, 'mmdet')
