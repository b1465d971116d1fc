"""What the config of a fine-tuning is made of."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from convnext_backbone.checkpoints import Stated
from convnext_backbone.datasets.cache import Converted
from convnext_backbone.tasks.finetune.config_code import Expression
from convnext_backbone.tasks.finetune.recipe import Recipe
from convnext_backbone.tasks.initial_weights import InitialWeights


@dataclass(frozen=True)
class Plan:
    """All that a config states.

    Attributes:
        base_name: What ``_base_`` says.
        base: That config, read.
        data: The converted data set.
        recipe: How to train.
        weights: What it starts from; None: random weights.
        work_dir: Output folder.
        command: What the user typed.
        stated: What the weights' source states of them.
    """

    base_name: str
    base: Config
    data: Converted
    recipe: Recipe
    weights: InitialWeights | None
    work_dir: Path
    command: str
    stated: Stated = Stated()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names in label order."""
        return tuple(self.data.numbers['classes'])

    def flip(self) -> dict:
        """Return the base's flips: it knows whether its images have an up and down."""
        dataset = self.base.train_dataloader.dataset
        while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
            dataset = dataset['dataset']
        for step in dataset.get('pipeline', []):
            if step.get('type') == 'RandomFlip':
                return dict(step)
        return dict(type='RandomFlip', prob=0.5)

    def loaders(self, train: list, test: list, train_set: dict, val_set: dict) -> dict:
        """Return what a config states of pipelines and data sets, its scale first."""
        batch = self.base.train_dataloader.batch_size
        return {
            'image_scale': self.recipe.scale,
            'train_pipeline': train,
            'test_pipeline': test,
            'train_dataloader': dict(batch_size=batch, dataset=train_set),
            'val_dataloader': dict(dataset=val_set),
            'test_dataloader': Expression('val_dataloader'),
        }
