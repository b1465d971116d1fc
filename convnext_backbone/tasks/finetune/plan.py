"""Everything that the config of a fine-tuning is written from."""

from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from convnext_backbone.checkpoints import Stated
from convnext_backbone.datasets.cache import Converted
from convnext_backbone.tasks.finetune.config_code import Expression
from convnext_backbone.tasks.finetune.recipe import Recipe
from convnext_backbone.tasks.initial_weights import InitialWeights


@dataclass(frozen=True)
class Plan:
    """Everything that a config is written from.

    Attributes:
        base_name: The value of ``_base_``.
        base: The config of that name.
        data: The converted data set.
        recipe: How to train.
        weights: What it starts from; None: random weights.
        work_dir: Output folder.
        command: The command that the user typed.
        stated: What the weights' source states of them.
    """

    base_name: str
    base: Config
    data: Converted
    recipe: Recipe
    weights: InitialWeights | None
    work_dir: Path
    command: str
    stated: Stated = field(default_factory=Stated)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in label order."""
        return tuple(self.data.numbers['classes'])

    def flip(self) -> dict:
        """Return the flips of the base, which depend on what its images show."""
        dataset = self.base.train_dataloader.dataset
        while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
            dataset = dataset['dataset']
        for step in dataset.get('pipeline', []):
            if step.get('type') == 'RandomFlip':
                return dict(step)
        return dict(type='RandomFlip', prob=0.5)

    def loaders(self, train: list, test: list, train_set: dict, val_set: dict) -> dict:
        """Return the variables of pipelines and data loaders, in their order.

        Args:
            train: Training pipeline.
            test: Test pipeline.
            train_set: Training data set.
            val_set: Validation data set, which is the test data set too.
        """
        batch = self.base.train_dataloader.batch_size
        return {
            'image_scale': self.recipe.scale,
            'train_pipeline': train,
            'test_pipeline': test,
            'train_dataloader': dict(batch_size=batch, dataset=train_set),
            'val_dataloader': dict(dataset=val_set),
            'test_dataloader': Expression('val_dataloader'),
        }
