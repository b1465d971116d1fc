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
            '--out {}/a.txt: expected a file that ends in .json or .pkl',
        ),
        ('--show-dir', 'file', 'creating the folder {}/file: Not a directory'),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    demo, in_root, tmp_path, capsys, option, place, message
):
    (tmp_path / 'file').touch()
    (tmp_path / 'a.pth').touch()
    (tmp_path / 'folder.pkl').mkdir()
    argv = ['test', SEG, tmp_path / 'a.pth', '--data-root', demo]
    argv += ['--work-dir', tmp_path / 'work', option, tmp_path / place]
    assert tool(*argv) == 1
    told = message.replace('{}', str(tmp_path))
    assert capsys.readouterr().err == f'error: {told}\n'


def test_predictions_of_a_detector_and_of_others_as_pickle():
    assert dump_config('a.pkl', 'mmdet')['type'] == 'DumpDetResults'
    assert dump_config('a.pkl', 'mmseg')['type'] == 'DumpResults'
    with pytest.raises(UserError, match=r'ends in .json or .pkl'):
        dump_config('a', 'mmseg')
