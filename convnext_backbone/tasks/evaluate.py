"""Evaluates a trained model: metrics, predictions, pictures."""

from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from convnext_backbone import checkpoints
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import check_writable, make_folder
from convnext_backbone.foundation.json_files import write_json
from convnext_backbone.openmmlab.runner import TestRunner, is_coco_metric
from convnext_backbone.tasks.mask_labels import mask_label_warnings
from convnext_backbone.tasks.tta import add_tta


def test(
    cfg: Config,
    checkpoint: checkpoints.Source,
    *,
    out: str | None = None,
    show_dir: str | None = None,
    tta: bool = False,
) -> dict[str, float]:
    """Evaluate a checkpoint on the test data of a config.

    Args:
        cfg: What :func:`~convnext_backbone.config.loading.load_run_config` returned.
        checkpoint: The trained model.
        out: File for the predictions, ``.json`` or ``.pkl``.
        show_dir: Folder for pictures of ground truth beside prediction.
        tta: Merge the predictions on several scales and their mirror images.

    Returns:
        The metrics, which are also written to ``metrics.json`` in the work dir, with
        the warnings of what may make them wrong.

    Raises:
        UserError: ``out`` has another suffix, the checkpoint does not fit, an image
            or annotation file cannot be read, or ``out`` or ``show_dir`` cannot be
            written.
    """
    checkpoint = checkpoints.CheckpointRef.parse(checkpoint)
    checkpoints.fetch(checkpoint)  # a missing one is told before all else
    cfg.load_from, cfg.resume = None, False
    if tta:
        add_tta(cfg)
    evaluators = cfg.test_evaluator
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    evaluators = [dict(metric) for metric in evaluators]
    for metric in evaluators:
        if is_coco_metric(metric):
            metric['classwise'] = True
    if out is not None:
        evaluators.append(dump_config(out, cfg.get('default_scope')))
        check_writable(out)
    cfg.test_evaluator = evaluators
    if show_dir is not None:
        make_folder(show_dir)
        hook = dict(type='convnext_backbone.ShowResultsHook', out_dir=show_dir)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]
    runner = TestRunner.from_cfg(cfg)
    with os_errors_told('evaluating'):
        warnings = runner.load_trained(checkpoint)
        if is_main_process():
            for warning in mask_label_warnings(cfg, ('test',)):
                warnings.append(warning)
                runner.logger.warning(warning)
        metrics = runner.test()
    if is_main_process():
        path = Path(cfg.work_dir, 'metrics.json')
        content = {'config': cfg.filename, 'checkpoint': str(checkpoint)}
        warnings += runner.evaluation_warnings
        write_json(path, {**content, 'metrics': metrics, 'warnings': warnings})
        runner.logger.info(f'Metrics written to {path}')
    return metrics


def dump_config(out: str, scope: str | None) -> dict:
    """Return the config of the metric that writes predictions to ``out``.

    Raises:
        UserError: The suffix is neither .json nor .pkl.
    """
    suffix = Path(out).suffix
    if suffix == '.json':
        return dict(type='convnext_backbone.DumpPredictions', path=out)
    if suffix == '.pkl':
        name = 'DumpDetResults' if scope == 'mmdet' else 'DumpResults'
        return dict(type=name, out_file_path=out)
    raise UserError(f'--out {out}: expected a file that ends in .json or .pkl')
