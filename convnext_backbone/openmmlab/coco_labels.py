"""COCO's categories as labels by their names, in whatever order a file lists them.

mmdet numbers the labels of a data set in the order of the categories in its file, and
so does its metric; the order of ``metainfo['classes']`` has no effect. Two files in
different order, one to train on and one to evaluate with, then swap labels.
"""

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from mmengine.logging import MMLogger

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.openmmlab.class_order import list_names

DATA_SETS = 'mmdet.datasets.coco'


def category_ids(
    categories: Iterable[dict], classes: Sequence[str], file: str
) -> list[int]:
    """Return the id of the category of each class, in the order of the classes.

    Args:
        categories: A COCO file's.
        classes: Names in label order.
        file: The file, for the message.

    Raises:
        UserError: A class has no category, or several.
    """
    by_name: dict[str, list[int]] = {}
    for category in categories:
        by_name.setdefault(category['name'], []).append(category['id'])
    missing = [name for name in classes if name not in by_name]
    if missing:
        raise UserError(
            f'{file} has no category {list_names(missing)}; it has '
            f'{list_names(list(by_name))}: write the names of the classes in the '
            f'config (metainfo) as they are in the file'
        )
    for name in classes:
        if len(by_name[name]) > 1:
            raise UserError(
                f'{file} has {len(by_name[name])} categories {name!r}, with the ids '
                f'{", ".join(map(str, by_name[name]))}: give each a name of its own, '
                f'or merge them into one'
            )
    return [by_name[name][0] for name in classes]


@contextmanager
def labels_by_name(dataset: object) -> Iterator[None]:
    """Have mmdet's COCO data sets that are built in the block number labels by name.

    Where that differs from the order of the file, the log says so.

    Args:
        dataset: The config of what is built; mmdet is not loaded for other data sets.
    """
    needed = 'Coco' in str(dataset) and importlib.util.find_spec('mmdet')
    if not needed and DATA_SETS not in sys.modules:
        yield
        return
    from mmdet.datasets.coco import CocoDataset

    api = CocoDataset.COCOAPI
    CocoDataset.COCOAPI = _by_name(api)
    try:
        yield
    finally:
        CocoDataset.COCOAPI = api


def _by_name(api: type) -> type:
    """Return a subclass of mmdet's COCO that lists ids in the order of given names."""

    class COCOByName(api):
        def __init__(self, annotation_file: str | None = None) -> None:
            super().__init__(annotation_file)
            self.file = str(annotation_file)

        def get_cat_ids(
            self,
            cat_names: Sequence[str] = (),
            sup_names: Sequence[str] = (),
            cat_ids: Sequence[int] = (),
        ) -> list[int]:
            in_file = super().get_cat_ids(cat_names, sup_names, cat_ids)
            if not cat_names or isinstance(cat_names, str) or sup_names or cat_ids:
                return in_file
            ids = category_ids(self.dataset['categories'], cat_names, self.file)
            if ids != in_file:
                names = [self.cats[i]['name'] for i in in_file]
                MMLogger.get_current_instance().info(
                    f'{self.file} lists its categories in the order '
                    f'{list_names(names)}; labels are numbered by name, in the order '
                    f'of the classes of the config: {list_names(cat_names)}'
                )
            return ids

    return COCOByName
