"""Runs a trained model on its validation data, and collects the findings."""

import tempfile
import time

from mmengine.config import Config

from convnext_backbone import checkpoints
from convnext_backbone.openmmlab.compat import mmengine_globals_restored
from convnext_backbone.openmmlab.data_errors import data_errors_told
from convnext_backbone.openmmlab.runner import TestRunner
from convnext_backbone.tasks.report.detection_findings import DetectionFindings
from convnext_backbone.tasks.report.findings import Findings
from convnext_backbone.tasks.report.segmentation_findings import SegmentationFindings


def collect_findings(
    cfg: Config, checkpoint: checkpoints.Source
) -> tuple[Findings, float, dict]:
    """Evaluate a checkpoint on the validation data of a config.

    The run leaves no files, and none of mmengine's global state.

    Args:
        cfg: A resolved config; it is not changed.
        checkpoint: The trained model.

    Returns:
        The findings, the seconds that the evaluation took, and the data set's
        ``metainfo``.

    Raises:
        UserError: The checkpoint cannot be fetched or does not fit, or a file of the
            validation data cannot be read.
    """
    checkpoints.fetch(checkpoint)  # fails before anything is built
    cfg = cfg.copy()
    cfg.load_from, cfg.resume, cfg.launcher = None, False, 'none'
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = metric_config(cfg)
    val_cfg = cfg.get('val_cfg') or {}
    cfg.test_cfg = dict(type='TestLoop', fp16=val_cfg.get('fp16', False))
    cfg.experiment_name = 'report'
    # The config's visualizer may log to a service, as another run of the training.
    cfg.visualizer = None
    # mmengine would write its long reports to a log file that is deleted at the end.
    cfg.log_level = 'WARNING'
    with tempfile.TemporaryDirectory() as folder, mmengine_globals_restored():
        cfg.work_dir = folder
        with data_errors_told('evaluating on the validation data'):
            runner = TestRunner.from_cfg(cfg)
            dataset = runner.test_dataloader.dataset
        for part in (runner.logger, *runner.logger.handlers):
            part.setLevel('INFO')
        runner.load_trained(checkpoint)
        begin = time.perf_counter()
        with data_errors_told('evaluating on the validation data'):
            runner.test()
        seconds = time.perf_counter() - begin
        (metric,) = runner.test_evaluator.metrics
    return metric.findings, seconds, dataset.metainfo


def metric_config(cfg: Config) -> dict:
    """Return the config of the metric that collects the findings."""
    given = cfg.get('val_evaluator') or []
    given = given if isinstance(given, list | tuple) else [given]
    if cfg.get('default_scope') == 'mmseg':
        ignored = [m['ignore_index'] for m in given if 'ignore_index' in m]
        kind = SegmentationFindings.__name__
        return dict(type=f'convnext_backbone.{kind}', ignore_index=(*ignored, 255)[0])
    config = dict(type=f'convnext_backbone.{DetectionFindings.__name__}')
    for metric in given:
        if metric['type'].endswith('CocoMetric') and metric.get('ann_file'):
            config['ann_file'] = metric['ann_file']
            config['backend_args'] = metric.get('backend_args')
    return config
