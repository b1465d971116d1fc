"""Evaluates a trained model: metrics, predictions, pictures."""

from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from convnext_backbone import checkpoints
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import check_writable, list_folder, make_folder
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
        out: Where predictions go: a ``.json`` or ``.pkl`` file, or for a segmentor an
            empty or new folder of label maps, see :func:`dump_config`.
        show_dir: Folder for pictures of ground truth beside prediction.
        tta: Merge the predictions on several scales and their mirror images.

    Returns:
        The metrics, which are also written to ``metrics.json`` in the work dir, with
        the warnings of what may make them wrong.

    Raises:
        UserError: ``out`` is none of these, the checkpoint does not fit, an image
            or annotation file cannot be read, or ``out`` or ``show_dir`` cannot be
            written.
    """
    checkpoint = checkpoints.CheckpointRef.parse(checkpoint)
    checkpoints.fetch(checkpoint)  # a missing one is told before all else
    cfg.load_from, cfg.resume = None, False
    if tta:
        add_tta(cfg)
    cfg.test_evaluator = _metrics(cfg, out)
    if out is not None:
        _check_out(out)
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


def _metrics(cfg: Config, out: str | None) -> list[dict]:
    """Return a config's test metrics, COCO's by class too, and the one that dumps."""
    given = cfg.test_evaluator
    metrics = [dict(m) for m in (given if isinstance(given, list) else [given])]
    for metric in metrics:
        if is_coco_metric(metric):
            metric['classwise'] = True
    if out is not None:
        metrics.append(dump_config(out, cfg.get('default_scope')))
    return metrics


def dump_config(out: str, scope: str | None) -> dict:
    """Return the config of the metric that writes predictions to ``out``.

    A ``.json`` file is that of the command ``infer``. A ``.pkl`` file holds the results
    of mmengine, one dict for each image; mmdet's analysis tools read it, and those of
    mmseg read a folder of label maps instead.

    Raises:
        UserError: ``out`` has another suffix, or it is a folder and the model is no
            segmentor.
    """
    suffix = Path(out).suffix
    if suffix == '.json':
        return dict(type='convnext_backbone.DumpPredictions', path=out)
    if suffix == '.pkl':
        name = 'DumpDetResults' if scope == 'mmdet' else 'DumpResults'
        return dict(type=name, out_file_path=out)
    if scope == 'mmseg' and _is_folder(out):
        return dict(type='convnext_backbone.DumpLabelMaps', folder=out)
    folder = ', or a folder (a name without suffix)' if scope == 'mmseg' else ''
    raise UserError(f'--out {out}: expected a file that ends in .json or .pkl{folder}')


def _is_folder(out: str) -> bool:
    """Tell whether a path means a folder: it is one, or has no suffix."""
    return Path(out).is_dir() or out.endswith('/') or not Path(out).suffix


def _check_out(out: str) -> None:
    """Raise UserError unless predictions can be written to a file or a folder.

    A folder must be empty: mmseg's tools take every file in it for a label map.
    """
    if Path(out).suffix in ('.json', '.pkl'):
        check_writable(out)
        return
    make_folder(out)
    if list_folder(Path(out)):
        raise UserError(f'--out {out} holds other files: give an empty or a new folder')
