import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from pycocotools import mask as coco_mask
from support.mask_writers import CLASSES, PALETTE, label_map, write_image, write_pairs

from convnext_backbone.datasets import samples
from convnext_backbone.datasets.formats import masks
from convnext_backbone.datasets.overview import draw_dataset
from convnext_backbone.datasets.records import Instance, Item, Record, Source
from convnext_backbone.datasets.samples import class_areas, draw_samples, shorten
from convnext_backbone.datasets.scan import scan


def detection(root, objects, split=''):
    """Make records of images, one for each list of (class, size of its box)."""
    records = []
    for i, names in enumerate(objects):
        path = root / f'{chr(97 + i)}.jpg'
        write_image(path)
        instances = [Instance(n, (4, 6, 4 + side, 6 + side)) for n, side in names]
        records.append(Record(path, split, 64, 48, instances))
    items = [Item(record.image, None, split) for record in records]
    return records, Source('coco', 'det', root, items)


def segmentation(root, kind='index'):
    source = masks.find(write_pairs(root, kind))
    return scan(source, 1), source


@pytest.fixture
def page(monkeypatch):
    """Return what is on the page instead of saving it."""
    pages = []
    monkeypatch.setattr(Figure, 'savefig', lambda self, *_, **__: pages.append(self))

    def draw(records, source, classes, tmp_path):
        draw_dataset(records, source, classes, tmp_path / 'page.png')
        (figure,) = pages
        texts = [text.get_text() for text in figure.findobj(Text)]
        return figure.axes, texts

    return draw


@pytest.mark.parametrize('make', [segmentation, detection])
def test_page(tmp_path, make):
    if make is detection:
        records, source = detection(tmp_path, [[('a$1$', 20)], [('猫', 5)], []])
        classes = ('a$1$', '猫')
    else:
        records, source = segmentation(tmp_path)
        classes = source.classes
    path = tmp_path / 'out' / 'page.png'
    draw_dataset(records, source, classes, path)
    picture = cv2.imread(str(path))
    assert picture.shape[1] == 1920
    assert picture.shape[0] > 900
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000  # photographs


def test_bars_count_the_objects_of_each_split(tmp_path, page):
    train, source = detection(tmp_path / 't', [[('cat', 9), ('cat', 9)], [('dog', 9)]])
    val, other = detection(tmp_path / 'v', [[('cat', 9)]])
    for record in train:
        record.split = 'train'
    val[0].split = 'val'
    source.items += other.items
    axes, texts = page([*train, *val], source, ('dog', 'cat', 'cow'), tmp_path)
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    assert labels == ['cat', 'dog', 'cow']
    widths = [[bar.get_width() for bar in bars] for bars in axes[0].containers]
    assert widths == [[2, 1, 0], [1, 0, 0]]
    assert 't: detection, 3 classes, 2 train images, 1 val images' in texts
    assert axes[0].get_xscale() == 'linear'
    other = f'val: {shorten(str(tmp_path / "v" / "a.jpg"), 44)}'  # outside of t
    assert {'train', 'val', 'train: a.jpg', other} <= set(texts)


def test_bars_of_segmentation_are_percent_of_pixels(tmp_path, page):
    records, source = segmentation(tmp_path)
    axes, _ = page(records, source, source.classes, tmp_path)
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    widths = [[bar.get_width() for bar in bars] for bars in axes[0].containers]
    for names, row in zip(('abc', 'de'), widths, strict=True):
        every = np.stack([label_map(name) for name in names])
        expected = [100 * np.mean(every == 1 + CLASSES.index(n)) for n in labels]
        np.testing.assert_allclose(row, expected)


def test_wide_range_has_a_log_scale(tmp_path, page):
    records, source = detection(tmp_path, [[('cat', 9)] * 101, [('dog', 9)]])
    axes, texts = page(records, source, ('cat', 'dog'), tmp_path)
    assert axes[0].get_xscale() == 'log'
    assert 'objects (log scale)' in texts


def test_many_classes_show_the_most_and_the_least_frequent(tmp_path, page):
    names = [f'c{i:02}' for i in range(50)]
    objects = [(name, 9) for i, name in enumerate(names) for _ in range(50 - i)]
    records, source = detection(tmp_path, [objects])
    axes, texts = page(records, source, names, tmp_path)
    shown = [[t.get_text() for t in ax.get_yticklabels()] for ax in axes[:2]]
    assert shown == [names[:20], names[-20:]]
    assert 'classes, 20 least frequent (10 between are not shown)' in texts


def test_object_sizes_have_coco_limits(tmp_path, page):
    records, source = detection(
        tmp_path, [[('a', 10), ('a', 31), ('a', 40), ('a', 96)]]
    )
    axes, texts = page(records, source, ('a',), tmp_path)
    assert {'small\n50%', 'medium\n25%', 'large\n25%'} <= set(texts)
    lines = [line.get_xdata()[0] for line in axes[1].lines]
    assert lines == [32, 96]


def test_nothing_that_can_be_read(tmp_path):
    records, source = detection(tmp_path, [[('a', 9)]])
    records[0].width = records[0].height = 0
    draw_dataset(records, source, ('a',), tmp_path / 'page.png')
    assert cv2.imread(str(tmp_path / 'page.png')) is not None


def samples_of(records, source, classes, count=12):
    areas = [class_areas(record, source, classes) for record in records]
    return draw_samples(records, areas, source, classes, count, (128, 96))


def names_of(samples):
    return [record.image.stem for record, _ in samples]


def test_samples_of_rare_classes_first(tmp_path):
    common = [[('common', side)] for side in (8, 9, 10, 11, 12)]
    records, source = detection(tmp_path, [*common, [('rare', 9)], []])
    classes = ('common', 'rare', 'never')
    samples = samples_of(records, source, classes)
    assert names_of(samples)[:2] == ['f', 'c']  # then the medium one
    assert sorted(names_of(samples)) == list('abcdef')
    assert names_of(samples_of(records, source, classes, 2)) == ['f', 'c']


def test_samples_leave_out_what_cannot_be_read(tmp_path):
    records, source = detection(tmp_path, [[('a', 9)], [('a', 9)], [('a', 9)]])
    records[1].image.write_bytes(b'no')
    records[2].image.unlink()
    assert names_of(samples_of(records, source, ('a',))) == ['a']


def test_sample_without_a_readable_mask(tmp_path):
    records, source = segmentation(tmp_path)
    (tmp_path / 'masks' / 'train' / 'b.png').write_bytes(b'no')
    names = names_of(samples_of(records, source, source.classes))
    assert sorted(names) == ['a', 'c', 'd', 'e']


def scaled(record):
    image = cv2.imread(str(record.image))
    return cv2.resize(image, (128, 96), interpolation=cv2.INTER_CUBIC).astype(int)


def test_mask_is_drawn_in_the_colours_of_the_data(tmp_path):
    records, source = segmentation(tmp_path, 'rgb')
    classes = ('water', 'building')  # road is left out
    for record, picture in samples_of(records, source, classes):
        labels = np.repeat(np.repeat(label_map(record.image.stem), 2, 0), 2, 1)
        image = scaled(record)
        mixed = {0: image, 2: image}
        for label in (1, 3):
            colour = np.array(PALETTE[label - 1][::-1])
            mixed[label] = 0.45 * image + 0.55 * colour
        for label, expected in mixed.items():
            where = labels == label
            where[:60, :100] = False  # the names of the classes
            error = np.abs(picture - expected)[where]
            assert where.sum() > 100 or label == 0
            assert error.max(initial=0) <= 1.5


@pytest.mark.parametrize('form', ['polygon', 'counts', 'rle'])
def test_objects_are_drawn(tmp_path, form):
    records, source = detection(tmp_path, [[('a', 20), ('b', 8)]])
    mask = np.zeros((48, 64), np.uint8, order='F')
    mask[26:46, 40:60] = 1
    rle = coco_mask.encode(mask)
    runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=2, append=2)))
    segmentation = {
        'polygon': [[40, 26, 60, 26, 60, 46, 40, 46]],
        'counts': {'size': [48, 64], 'counts': runs.tolist()},
        'rle': rle,
    }[form]
    thing = records[0].instances[0]
    thing.box, thing.segmentation = (40, 26, 60, 46), segmentation
    ((record, picture),) = samples_of(records, source, ('a', 'b'))
    changed = np.abs(picture - scaled(record)).sum(2) > 20
    assert changed[56:88, 84:116].mean() > 0.8
    assert changed[14:26, 10:22].mean() > 0.8  # the box of the one without a mask
    assert not changed[60:, :70].any()


def test_crowds_and_other_classes_are_not_drawn(tmp_path):
    records, source = detection(tmp_path, [[('a', 2), ('a', 30), ('b', 30)]])
    records[0].instances[1].crowd = True
    assert class_areas(records[0], source, ('a',)) == {'a': [4]}
    ((record, picture),) = samples_of(records, source, ('a',))
    assert not (np.abs(picture - scaled(record)).sum(2) > 20)[60:, 40:].any()


def test_long_names_are_shortened():
    assert samples.shorten('abcdefgh', 8) == 'abcdefgh'
    assert samples.shorten('abcdefghijkl', 8) == 'abc...kl'


def test_masks_are_scaled_before_they_are_stacked(tmp_path, monkeypatch):
    records, source = detection(tmp_path, [[('a', 20), ('a', 8)]])
    records[0].instances[0].segmentation = [[4, 6, 24, 6, 24, 26]]
    stacked = []
    stack = np.stack
    monkeypatch.setattr(
        samples.np,
        'stack',
        lambda *a, **k: stacked.append(stack(*a, **k)) or stacked[-1],
    )
    samples_of(records, source, ('a',))
    assert {array.shape for array in stacked if array.ndim == 3} == {(2, 96, 128)}
