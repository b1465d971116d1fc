"""AP or mIoU of a model, and of the same model with an exported part in it."""

import copy
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, init_default_scope
from torch import Tensor, nn

from convnext_backbone.checkpoints import Source
from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.export.exported_model import ExportedModel
from convnext_backbone.export.image_model import ImageModel
from convnext_backbone.openmmlab.data_errors import data_errors_told
from convnext_backbone.openmmlab.runner import TestRunner


def evaluate(
    cfg: Config,
    checkpoint: Source,
    exported: ExportedModel,
    limit: int | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Evaluate a checkpoint on the test data, without and with an exported part.

    Args:
        cfg: What :func:`~convnext_backbone.config.loading.load_config` returned; it is
            not changed.
        checkpoint: The trained model.
        exported: Replaces ``extract_feat`` or ``encode_decode``; its input size is
            dynamic.
        limit: Number of images, the first of each data set. By default all.

    Returns:
        The metrics with that part in PyTorch, and those with the exported part. Both
        pad images to multiples of 32.

    Raises:
        UserError: A file of the test data cannot be read.
    """
    cfg = cfg.copy()
    cfg.load_from, cfg.resume, cfg.launcher = None, False, 'none'
    if limit is not None:
        limit_images(cfg, limit)
    with TemporaryDirectory() as folder:
        cfg.work_dir = folder
        # mmengine keeps loggers and visualizers by name for the whole process.
        cfg.visualizer, cfg.experiment_name = None, Path(folder).name
        runner = TestRunner.from_cfg(cfg)
        with data_errors_told('evaluating on the test data'):
            runner.load_trained(checkpoint)
        if limit is not None:
            _leave_out_missing_images(runner)
        use_exported(runner.model, ImageModel(copy.deepcopy(runner.model)))
        with data_errors_told('evaluating on the test data'):
            before = runner.test()
            use_exported(runner.model, exported)
            after = runner.test()
    return before, after


def limit_images(cfg: Config, limit: int) -> None:
    """Reduce each test data set of a config to its first ``limit`` images."""
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    for dataset in iter_datasets(cfg.test_dataloader):
        if limit < len(DATASETS.build({**dataset, 'pipeline': []})):
            dataset['indices'] = limit


def _leave_out_missing_images(runner: TestRunner) -> None:
    """Keep COCO's metric from counting the objects of images that are not evaluated."""
    dataset = runner.test_loop.dataloader.dataset
    for metric in runner.test_evaluator.metrics:
        if hasattr(metric, 'img_ids'):
            infos = (dataset.get_data_info(i) for i in range(len(dataset)))
            metric.img_ids = [info['img_id'] for info in infos]


def use_exported(
    model: BaseModel, exported: Callable[[Tensor], tuple[Tensor, ...]]
) -> None:
    """Make a detector or segmentor compute its features or logits by ``exported``.

    Args:
        model: The model; it is changed in place.
        exported: An :class:`ExportedModel`, or an :class:`ImageModel` of another
            model.
    """
    device = next(model.parameters()).device
    image_model = ImageModel(model).to(device)
    if isinstance(exported, nn.Module):
        exported.to(device).eval()

    def run(x: Tensor) -> tuple[Tensor, ...]:
        return exported(image_model.restore(x))

    if image_model.task == 'segmentor':

        def encode_decode(x: Tensor, batch_img_metas: list[dict]) -> Tensor:
            return run(x)[0]

        model.encode_decode = encode_decode
    else:
        model.extract_feat = run
