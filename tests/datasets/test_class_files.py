import pytest

from convnext_backbone.datasets.formats.class_files import (
    ClassEntry,
    find_class_file,
    read_class_file,
)

PLAIN = [ClassEntry('road'), ClassEntry('traffic light')]
COLOURED = [
    ClassEntry('road', (128, 64, 128)),
    ClassEntry('traffic light', (250, 170, 30)),
]


@pytest.mark.parametrize(
    ('name', 'text', 'entries'),
    [
        ('classes.txt', 'road\n\n# lights\n traffic light \n', PLAIN),
        ('labels.txt', '\ufeffroad\r\ntraffic light', PLAIN),
        ('classes.txt', 'road 128 64 128\ntraffic light 250 170 30\n', COLOURED),
        ('classes.txt', 'road,128,64,128\ntraffic light, 250, 170, 30\n', COLOURED),
        (
            'labelmap.txt',
            '# label:color_rgb:parts:actions\n'
            'road:128,64,128::\ntraffic light:250,170,30:lamp:\n',
            COLOURED,
        ),
        ('labelmap.txt', 'road:::\ntraffic light:::\n', PLAIN),
        (
            'class_dict.csv',
            'Name, R, G, B\nroad,128,64,128\ntraffic light, 250, 170, 30\n',
            COLOURED,
        ),
    ],
)
def test_forms(tmp_path, name, text, entries):
    (tmp_path / name).write_bytes(text.encode())
    assert read_class_file(tmp_path / name) == entries


def test_number_in_a_name_is_no_colour(tmp_path):
    (tmp_path / 'classes.txt').write_text('zone 1\nzone 2 30\n')
    names = [entry.name for entry in read_class_file(tmp_path / 'classes.txt')]
    assert names == ['zone 1', 'zone 2 30']


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('classes.txt', '\n# nothing\n', 'names no class'),
        (
            'classes.txt',
            'road\nsky\nroad\n',
            "line 3: the name 'road' is already used in line 1",
        ),
        ('classes.txt', 'a 1 2 3\nb 1 2 3\n', r'line 2: the colour \(1, 2, 3\)'),
        ('classes.txt', 'a 1 2 256\n', "line 1: '1 2 256' is not a colour"),
        ('classes.txt', 'a 1 -2 3\n', "line 1: '1 -2 3' is not a colour"),
        ('classes.txt', 'a 0.1 0.2 0.3\n', 'is not a colour'),
        ('classes.txt', 'a 1 2 3\nb\n', 'line 2: some classes have a colour'),
        ('classes.txt', 'a 1 2 3\n,4,5,6\n', 'line 2: there is no name'),
        ('labelmap.txt', 'a:1,2::\n', "line 1: '1 2' is not a colour"),
        ('class_dict.csv', 'a,1,2,3\n', 'line 1: the header has no column name'),
        ('class_dict.csv', 'name,r,g,b\na,1,2\n', 'line 2'),
        ('class_dict.csv', '', 'the header has no column'),
        ('class_dict.csv', 'name,r,g,b\n', 'names no class'),
    ],
)
def test_faulty_file(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_class_file(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_no_text(tmp_path):
    (tmp_path / 'classes.txt').write_bytes(b'stra\xdfe\n')
    with pytest.raises(ValueError, match='not UTF-8'):
        read_class_file(tmp_path / 'classes.txt')


def test_found_in_root_first_then_beside_the_masks(tmp_path):
    assert find_class_file(tmp_path) is None
    (tmp_path / 'masks').mkdir()
    (tmp_path / 'masks' / 'labelmap.txt').touch()
    assert find_class_file(tmp_path) == tmp_path / 'masks' / 'labelmap.txt'
    (tmp_path / 'class_dict.csv').touch()
    assert find_class_file(tmp_path) == tmp_path / 'class_dict.csv'


@pytest.mark.parametrize('name', ['Unlabeled', 'void', '__ignore__', 'unlabelled'])
def test_ignored_names(name):
    assert ClassEntry(name).ignored
    assert not ClassEntry('unknown vehicle').ignored
