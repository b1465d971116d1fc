"""Decides how to train on a data set, from the base config and the data's numbers."""

import math
from dataclasses import dataclass

from mmengine.config import Config

# The number of images that a training sees, counting repetitions, and the bounds of its
# epochs. The images of a small data set are seen often, those of a large one as often
# as in common schedules.
SEEN = {'det': 4000, 'seg': 8400}
EPOCHS = {'det': (12, 72), 'seg': (40, 160)}
VALIDATIONS = 10
PATIENCE = 5  # validations without progress before training stops early
TINY, SMALL = 100, 1000  # upper bounds of the training images
MAX_SCALE = {'det': (1333, 800), 'seg': (2048, 1024)}  # long and short side, pixels
EMA_SPAN = 20  # the moving average covers this fraction of the training: 1/20


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        masks: Whether instance masks are trained.
        steps: Number of iterations in an epoch.
        epochs: Length of the training in epochs; None if it counts iterations.
        iters: Length of the training in iterations.
        val_interval: Number of epochs, or iterations, between two validations.
        scale: Long and short side that images are fitted into, pixels.
        ratio_range: Smallest and largest factor of the scale jitter.
        crop: Whether images are cropped after the scale jitter.
        photometric: Whether the colours are augmented.
        frozen_stages: As the backbone's: the stem and so many stages keep their
            pretrained weights; -1 freezes nothing.
        ema_momentum: Weight of the newest model in the moving average of the weights.
        small_anchors: Whether the anchors are half as large as those of the base.
    """

    masks: bool
    steps: int
    epochs: int | None
    iters: int
    val_interval: int
    scale: tuple[int, int]
    ratio_range: tuple[float, float]
    crop: bool
    photometric: bool
    frozen_stages: int
    ema_momentum: float
    small_anchors: bool

    def __str__(self) -> str:
        """Return the recipe in a few words."""
        length = f'{self.epochs} epochs of {self.steps} iterations'
        if self.epochs is None:
            length = f'{self.iters} iterations ({self.iters / self.steps:.0f} epochs)'
        low, high = self.ratio_range
        words = [
            length,
            f'a validation every {self.val_interval}',
            'x'.join(map(str, self.scale)) + f' pixels times {low} to {high}',
        ]
        if self.frozen_stages >= 0:
            words.append(f'{self.frozen_stages} frozen stages')
        return ', '.join(words)


def decide(
    base: Config,
    numbers: dict,
    *,
    pretrained: bool,
    processes: int = 1,
    epochs: int | None = None,
    iters: int | None = None,
) -> Recipe:
    """Choose a recipe.

    Args:
        base: The config to fine-tune.
        numbers: Statistics of the data set: see :mod:`convnext_backbone.datasets`.
        pretrained: Whether training starts from trained weights.
        processes: Number of processes, each with the base's batch size.
        epochs: Length of the training that the user asked for, in epochs.
        iters: The same in iterations.
    """
    task = numbers['task']
    train = numbers['splits']['train']
    images = train['images'] - (train['empty'] if task == 'det' else 0)
    steps = math.ceil(images / (base.train_dataloader.batch_size * processes))
    by_epoch = 'max_epochs' in base.train_cfg
    if iters is None:
        if epochs is None:
            low, high = EPOCHS[task]
            epochs = min(high, max(low, round(SEEN[task] / images)))
        iters = epochs * steps
    elif by_epoch:
        epochs = math.ceil(iters / steps)
        iters = epochs * steps
    length = epochs if by_epoch and epochs is not None else iters
    small_anchors = False
    if task == 'det':
        areas = numbers['areas']
        small_anchors = areas['small'] > areas['medium'] + areas['large']
    return Recipe(
        masks=numbers['masks'] and learns_masks(base),
        steps=steps,
        epochs=epochs if by_epoch else None,
        iters=iters,
        val_interval=max(1, round(length / VALIDATIONS)),
        scale=fit(numbers['image_size'], MAX_SCALE[task]),
        ratio_range=_jitter(task, images),
        crop=images < SMALL,
        photometric=images < TINY,
        frozen_stages=2 if pretrained and images < TINY else -1,
        ema_momentum=round(min(0.05, max(1e-4, EMA_SPAN / iters)), 5),
        small_anchors=small_anchors,
    )


def learns_masks(base: Config) -> bool:
    """Tell whether a detector is trained with instance masks."""
    return "'with_mask': True" in str(base.train_dataloader.dataset)


def _jitter(task: str, images: int) -> tuple[float, float]:
    """Return the range of the scale jitter, wider if there are few images."""
    if images < TINY or task == 'seg':
        return (0.5, 2.0)
    return (0.75, 1.33) if images < SMALL else (0.8, 1.25)


def fit(image_size: dict, largest: tuple[int, int]) -> tuple[int, int]:
    """Return the long and short side of the median image, reduced to limits.

    Args:
        image_size: Statistics of ``width`` and ``height``: minimum, quartiles, maximum.
        largest: The limits of the long and of the short side, pixels.
    """
    sides = sorted((image_size['width'][2], image_size['height'][2]), reverse=True)
    factors = (limit / side for limit, side in zip(largest, sides, strict=True))
    factor = min(1.0, *factors)
    long, short = (max(32, round(side * factor)) for side in sides)
    return long, short
