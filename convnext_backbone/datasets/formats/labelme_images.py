"""Finds the image that a json of LabelMe is for."""

import os
from itertools import takewhile
from pathlib import Path, PureWindowsPath

from convnext_backbone.datasets.formats.layout import IMAGE_SUFFIXES
from convnext_backbone.datasets.formats.per_image import missing_image
from convnext_backbone.datasets.records import Fault
from convnext_backbone.foundation.files import as_written


class ImageFinder:
    """Finds images of a data set, or of one of its splits.

    Args:
        root: The data set's folder.
        images: All images that a json may be for.
    """

    def __init__(self, root: Path, images: list[Path]) -> None:
        self._root = root
        self._folders = {path.parent for path in images}
        self._named: dict[str, list[Path]] = {}
        for path in images:
            self._named.setdefault(path.name, []).append(path)

    def find(self, file: Path, stated: str) -> tuple[Path | None, list[Fault]]:
        """Return the image of a json, None if it is not clear; and what is wrong.

        Of these the first that exists is taken: what ``imagePath`` leads to, if it is
        relative or in the data set; the image of its name beside the json, as an
        absolute path may be that of another machine; the one of its name whose folders
        agree best, if there are no images beside the json; what an absolute path leads
        to.

        Args:
            file: The json.
            stated: Its imagePath, '' for none.
        """
        windows = PureWindowsPath(stated)
        name = windows.name
        if not name:
            return None, [missing_image(file, 'no image (no imagePath)')]
        # As written, then with the slashes of this system.
        paths = (file.parent / stated, file.parent / windows.as_posix())
        led = next((as_written(path) for path in paths if os.path.isfile(path)), None)
        absolute = bool(windows.anchor)
        if led is not None and (not absolute or led.is_relative_to(self._root)):
            return led, self._check_name(file, led)
        beside = file.parent / name
        if beside.is_file():
            return beside, self._check_name(file, beside)
        if file.parent not in self._folders:
            found, faults = self._nearest(file, windows)
            if found is not None or faults:
                return found, faults
        return led, [] if led is not None else [missing_image(file, name)]

    def _nearest(
        self, file: Path, stated: PureWindowsPath
    ) -> tuple[Path | None, list[Fault]]:
        """Return the image whose folders agree best with the json's or the path's."""
        here = file.parent.relative_to(self._root).parts
        agree: dict[int, list[Path]] = {}
        for path in self._named.get(stated.name, ()):
            there = path.parent.relative_to(self._root).parts
            count = max(_common_end(there, p) for p in (here, stated.parent.parts))
            # json/cam1 and images/cam2 do not belong together; json and images may.
            if count or min(len(here), len(there)) < 2:
                agree.setdefault(count, []).append(path)
        if not agree:
            return None, []
        count, best = max(agree.items())
        if len(best) > 1:
            shown = ' or '.join(map(str, best))
            message = f'is for {stated}, which may be {shown}: put it beside its image'
            return None, [Fault('error', 'unclear-image', str(file), message)]
        if count:
            return best[0], []
        message = (
            f'is taken for {best[0]} by the name alone: its imagePath {stated} leads '
            f'nowhere; correct it, or put the file beside its image'
        )
        return best[0], [Fault('warning', 'moved-image', str(file), message)]

    def _check_name(self, file: Path, image: Path) -> list[Fault]:
        """Tell of a json for another image than the one of its own name beside it."""
        if image.stem == file.stem:
            return []
        names = (file.stem + suffix for suffix in sorted(IMAGE_SUFFIXES))
        own = [file.parent / name for name in names if name in self._named]
        own = [path for path in own if path in self._named[path.name]]
        if not own:
            return []
        message = (
            f'is for {image}, as its imagePath says, though {own[0]} has its name: '
            f'correct imagePath if that is wrong'
        )
        return [Fault('warning', 'name-mismatch', str(file), message)]


def _common_end(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Count the last parts that two paths have in common."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
