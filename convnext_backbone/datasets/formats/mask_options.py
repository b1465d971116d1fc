"""What the user says about segmentation data that its folder does not."""

import os
from dataclasses import dataclass
from pathlib import Path

from convnext_backbone.foundation.errors import UserError


@dataclass(frozen=True)
class MaskOptions:
    """Options of ``check-dataset`` and ``finetune`` for data with masks.

    Attributes:
        ignore_label: Number in index masks of pixels that do not count; the classes
            are then numbered from 0, and this number is left out. None: as the class
            file says, or as the layout does.
        images: Folder of the images, in the data set's folder or a path of its own;
            None finds it.
        masks: Folder of their masks, likewise; given with ``images``.
    """

    ignore_label: int | None = None
    images: str | None = None
    masks: str | None = None

    def check(self) -> None:
        """Raise UserError for options that contradict each other."""
        if (self.images is None) != (self.masks is None):
            raise UserError(
                '--images and --masks name two parallel folders: give both, or neither'
            )
        if self.ignore_label is not None and not 0 <= self.ignore_label <= 255:
            raise UserError(
                f'--ignore-label {self.ignore_label}: expected a number that masks '
                f'may have, from 0 to 255'
            )

    def folders(self, root: Path) -> tuple[Path, Path] | None:
        """Return the folders of images and masks that the user named, None for none.

        Args:
            root: The data set's folder.

        Raises:
            UserError: One does not exist, may be either of two, or both are the same.
        """
        if self.images is None or self.masks is None:
            return None
        images = _folder(root, '--images', self.images)
        masks = _folder(root, '--masks', self.masks)
        if images == masks:
            raise UserError(
                f'--images and --masks are both {images}: put the masks into a folder '
                f'of their own'
            )
        return images, masks


NO_OPTIONS = MaskOptions()


def _folder(root: Path, option: str, name: str) -> Path:
    """Return the folder that an option names, in the data set's folder or as a path."""
    tried = [root / name, Path(os.path.expanduser(name)).absolute()]
    found = [path for path in dict.fromkeys(tried) if path.is_dir()]
    if not found:
        raise UserError(
            f'{option} {name}: there is no such folder, neither in {root} nor in the '
            f'current folder'
        )
    if len(found) > 1 and not found[0].samefile(found[1]):
        raise UserError(
            f'{option} {name} may be {found[0]} or {found[1]}: give an absolute path'
        )
    return found[0]
