"""Writes the report: collects what is known about a training and fills the page."""

import math
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from mmengine.config import Config
from mmengine.logging import MMLogger

from convnext_backbone import checkpoints
from convnext_backbone.config.checks import check_config
from convnext_backbone.config.loading import read_config
from convnext_backbone.config.parts import dataset_classes, iter_datasets
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.openmmlab.compat import mmengine_globals_restored
from convnext_backbone.results.drawing import default_palette
from convnext_backbone.tasks.report import curves, facts
from convnext_backbone.tasks.report.charts import Chart
from convnext_backbone.tasks.report.collect_findings import collect_findings
from convnext_backbone.tasks.report.findings import Findings
from convnext_backbone.tasks.report.history import History, read_history

NAME = 'report.html'
LEGEND_CLASSES = 12  # more colours could not be distinguished


@dataclass(frozen=True)
class Evaluated:
    """An evaluation: its checkpoint, findings, seconds, and the data's ``metainfo``."""

    checkpoint: checkpoints.CheckpointRef
    findings: Findings
    seconds: float
    metainfo: dict


def write_report(work_dir: str | Path, checkpoint: str | None = None) -> Path:
    """Evaluate a training and write ``report.html`` into its work dir.

    What is missing, such as the evaluation as long as there is no checkpoint, is left
    out, and the page says so.

    Args:
        work_dir: The work dir of a training.
        checkpoint: The checkpoint to evaluate. None takes the best, or else the last.

    Returns:
        The path of the page.

    Raises:
        UserError: The folder is not the work dir of a training, a file in it cannot be
            read or written, or the checkpoint cannot be fetched or does not fit.
    """
    with mmengine_globals_restored():
        history = read_history(work_dir)
        cfg = read_config(str(history.config))
        page = render(_context(history, cfg, checkpoint))
    path = history.work_dir / NAME
    partial = path.with_name(path.name + '.part')
    with os_errors_told(f'writing {path}'):
        partial.write_text(page, encoding='utf-8')
        partial.replace(path)
    return path


def render(context: dict) -> str:
    """Fill the page's template with the values of a context."""
    environment = Environment(
        loader=PackageLoader('convnext_backbone.tasks.report', '.'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=number, duration=duration, count=count, breakable=breakable
    )
    return environment.get_template('page.html.j2').render(context)


def number(value: float | None, digits: int = 1) -> str:
    """Write a number, or '-' if it is undefined."""
    undefined = value is None or not math.isfinite(value)
    return '-' if undefined else f'{value:.{digits}f}'


def count(value: int | None) -> str:
    """Write a count with spaces between its thousands, or '-' if it is unknown."""
    return '-' if value is None else f'{value:,}'.replace(',', '\u202f')


def breakable(name: str) -> Markup:
    """Allow a line break behind each underscore of a name."""
    return Markup('_<wbr>').join(name.split('_'))


def duration(seconds: float | None) -> str:
    """Write a duration in its two largest units."""
    if seconds is None:
        return '-'
    if seconds < 60:
        return f'{seconds:.0f} s' if seconds >= 10 else f'{seconds:.1f} s'
    minutes = round(seconds / 60)
    if minutes < 60:
        return f'{minutes} min'
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f'{hours} h {minutes} min'
    return f'{hours // 24} d {hours % 24} h'


def _context(history: History, cfg: Config, checkpoint: str | None) -> dict:
    first = read_config(str(history.runs[0].folder / 'vis_data' / 'config.py'))
    percent = 100 if cfg.get('default_scope') == 'mmdet' else 1
    missing: list[str] = []
    if not history.train:
        missing.append('No line of training was logged: there are no curves.')
    if not history.val:
        missing.append('The training was not evaluated while it ran.')
    if not history.is_finished:
        missing.append('The last run did not come to its end, or is still running.')
    evaluated = _evaluate(history, cfg, checkpoint, missing)
    findings = evaluated.findings if evaluated else None
    missing += findings.warnings if findings else []
    classes = _classes(cfg, evaluated)
    palette = (evaluated.metainfo.get('palette') if evaluated else None) or (
        default_palette(len(classes))
    )
    return {
        'title': f'{facts.model_name(cfg)} on {facts.data_name(cfg)}',
        'written': datetime.now().strftime('%Y-%m-%d %H:%M'),
        'started': _started(history),
        'missing': missing,
        'headline': _headline(history, findings, percent),
        'findings': findings,
        'evaluated': evaluated,
        'checkpoint': evaluated and os.path.basename(evaluated.checkpoint.source),
        'model': facts.model_name(cfg),
        'parameters': facts.parameters(cfg),
        'data': facts.data_name(cfg),
        'train_images': _train_images(cfg, missing),
        'classes': classes,
        'legend': list(zip(classes, palette, strict=False))
        if 1 < len(classes) <= LEGEND_CLASSES
        else [],
        'seconds': sum(run.seconds for run in history.runs),
        'history': history,
        'last_step': history.train[-1] if history.train else None,
        'speed': _speed(history, cfg),
        'peak_memory': max(
            (r.get('peak_memory_mb') or 0 for r in history.records), default=0
        ),
        'training_charts': [
            *curves.training_charts(history, percent),
            *curves.timing_charts(history),
        ],
        'precision_charts': _precision_charts(findings),
        'setup': facts.setup_facts(cfg, first),
        'seed': facts.seed(history, cfg),
        'environment': facts.environment(history),
        'train_command': facts.train_command(history),
        'infer_command': facts.infer_command(history, checkpoint),
    }


def _evaluate(
    history: History, cfg: Config, checkpoint: str | None, missing: list[str]
) -> Evaluated | None:
    """Evaluate, or add to ``missing`` why that is not possible."""
    if checkpoint is None:
        try:
            reference = checkpoints.pick_file(history.work_dir)
        except UserError:
            missing.append('Not evaluated: the work dir holds no checkpoint yet.')
            return None
    else:
        reference = checkpoints.pick_file(checkpoint)
    if not cfg.get('val_dataloader'):
        missing.append('Not evaluated: the config has no validation data.')
        return None
    try:
        check_config(cfg, ('val',))
    except UserError as error:
        reason = facts.without_home(str(error))
        missing.append(f'Not evaluated: {reason}')
        MMLogger.get_current_instance().warning(
            f'The report has no evaluation: {error}'
        )
        return None
    return Evaluated(reference, *collect_findings(cfg, reference))


def _train_images(cfg: Config, missing: list[str]) -> int | None:
    """Count the training images, or add to ``missing`` why that is not possible."""
    try:
        return facts.train_images(cfg)
    except UserError as error:
        reason = facts.without_home(str(error))
        missing.append(f'The training images are not counted: {reason}')
        return None


def _classes(cfg: Config, evaluated: Evaluated | None) -> tuple[str, ...]:
    """Return the names of the classes, as far as they are known."""
    if evaluated:
        return tuple(evaluated.metainfo['classes'])
    for dataset in iter_datasets(cfg.get('train_dataloader')):
        return dataset_classes(cfg, dataset) or ()
    return ()


def _headline(
    history: History, findings: Findings | None, percent: float
) -> dict[str, str | float] | None:
    """Return the main metric of the evaluation, or else the best that was logged."""
    if findings:
        name, value = next(iter(findings.metrics.items()))
        return {'name': name, 'value': value, 'explanation': findings.explanation}
    main = curves.main_metric(history)
    if main is None:
        return None
    values = [line[main] for line in history.val if line.get(main) is not None]
    if not values:
        return None
    explanation = 'the best that was logged during training, in percent'
    short = main.rpartition('/')[2]
    return {'name': short, 'value': percent * max(values), 'explanation': explanation}


def _precision_charts(findings: Findings | None) -> list[Chart]:
    return curves.precision_charts(findings) if findings else []


def _started(history: History) -> str:
    """Return when the training was started, nothing if that was not recorded."""
    for record in history.records:
        if record.get('started'):
            return record['started'].replace('T', ' ')[:16]
    return ''


def _speed(history: History, cfg: Config) -> dict[str, float] | None:
    """Return medians over the logged iterations.

    They are ``seconds`` of an iteration, ``images`` a second in each process, and the
    share of the time that is spent ``waiting`` for data.
    """
    times = sorted(line['time'] for line in history.train if line.get('time'))
    if not times:
        return None
    seconds = times[len(times) // 2]
    batch = (cfg.get('train_dataloader') or {}).get('batch_size') or 1
    waits = sorted(line.get('data_time', 0) for line in history.train)
    wait = waits[len(waits) // 2]
    return {'seconds': seconds, 'images': batch / seconds, 'waiting': wait / seconds}
