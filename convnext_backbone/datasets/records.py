"""What is read from a user's data set, whatever its format: images, objects, faults."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

import numpy as np

Level = Literal['error', 'warning']
AnnotationT = TypeVar('AnnotationT')  # what a format's reader needs, see Item


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with the data.

    Attributes:
        level: 'error': a training would fail or learn wrong labels; 'warning': it
            would go on without what is faulty, or with it.
        kind: Short name of what is wrong, such as 'unreadable-image'.
        file: The file it is in.
        id: Where in the file, such as 'annotation 17' or 'line 3'; '' for all of it.
        message: What was found, what was expected and how to correct it.
    """

    level: Level
    kind: str
    file: str
    message: str
    id: str = ''


@dataclass(slots=True)
class Instance:
    """One object of a detection data set.

    Attributes:
        category: Name of its class.
        box: x1, y1, x2, y2 in pixels of the image, x2 and y2 exclusive.
        id: Where its annotation is, as in :class:`Fault`.
        segmentation: Its mask as COCO writes it: polygons or an RLE; None for a box.
        crowd: It stands for a crowd, which is ignored (COCO's iscrowd).
    """

    category: str
    box: tuple[float, float, float, float]
    id: str = ''
    segmentation: list | dict | None = None
    crowd: bool = False


@dataclass(slots=True)
class Item(Generic[AnnotationT]):
    """One image of a data set and where its annotations are.

    Attributes:
        image: The image file.
        annotation: What the format's reader needs: a file, or records out of one;
            None for an image without any.
        split: 'train', 'val', 'test', or '' where the data set makes no difference.
    """

    image: Path
    annotation: AnnotationT
    split: str = ''


@dataclass(slots=True)
class Record:
    """What one image of a data set holds.

    Attributes:
        image: The image file.
        split: As in :class:`Item`.
        width: In pixels, upright as the EXIF orientation has it; 0 if unreadable.
        height: Likewise.
        instances: For detection, its objects without faults of level error.
        pixels: For segmentation, the number of pixels of each label, 0 for ignored
            ones and 1 + i for class i.
        faults: What is wrong with it.
        thumbnail: uint8 (16, 16), grey, for finding near-duplicates.
        peak: The greatest value of an image of 16 bits, None for one of 8.
    """

    image: Path
    split: str
    width: int = 0
    height: int = 0
    instances: list[Instance] = field(default_factory=list)
    pixels: dict[int, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    thumbnail: np.ndarray | None = None
    peak: int | None = None

    @property
    def labels(self) -> set[int]:
        """Return the labels of its pixels, without that of ignored ones."""
        return set(self.pixels) - {0}


@dataclass
class Source(Generic[AnnotationT]):
    """A data set whose format is known, not yet read.

    Attributes:
        format: One of the names of :data:`convnext_backbone.datasets.FORMATS`.
        task: 'det' or 'seg'.
        root: Its folder.
        items: Its images, those of a split together.
        classes: Names in label order; None where the annotations alone have them.
        read: For detection, ``read(item, width, height) -> (instances, faults)``;
            runs in other processes and raises nothing about the data's content.
        read_labels: For segmentation, ``read_labels(item) -> (labels, faults)``:
            uint8 (H, W), 0 for ignored pixels and 1 + i for class i (ADE20K's
            numbering), None when the mask cannot be read.
        palette: RGB of each class, where the data set states them.
        faults: Faults of the layout, and of files that many images share.
        splits: Those that the layout names, even if they hold no image.
        reading: How annotations are understood, where files beside them or the user
            say so, such as what numbers in masks stand for: data that is read in
            another way is converted again.
        images: Folder that images' names start from; None for the data set's.
    """

    format: str
    task: Literal['det', 'seg']
    root: Path
    items: list[Item[AnnotationT]]
    classes: tuple[str, ...] | None = None
    read: (
        Callable[[Item[AnnotationT], int, int], tuple[list[Instance], list[Fault]]]
        | None
    ) = None
    read_labels: (
        Callable[[Item[AnnotationT]], tuple[np.ndarray | None, list[Fault]]] | None
    ) = None
    palette: list[tuple[int, int, int]] | None = None
    faults: list[Fault] = field(default_factory=list)
    splits: tuple[str, ...] = ()
    reading: str = ''
    images: Path | None = None

    @property
    def folder(self) -> Path:
        """Return the folder that images' names start from."""
        if self.images is not None:
            return self.images
        return self.root if self.root.is_dir() else self.root.parent
