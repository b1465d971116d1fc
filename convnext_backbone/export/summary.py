"""The results of an export as text for a terminal."""

from pathlib import Path

from prettytable import PrettyTable

from convnext_backbone.export.output_files import description_of

EXAMPLE = """\
from convnext_backbone.export import ExportedModel
model = ExportedModel({path!r})
outputs = model(images)  # float32 {shape}, {channels}, 0..255"""


def summarise(out: Path, result: dict) -> str:
    """Write what was exported, how exact and how fast it is, and how to use it.

    Args:
        out: The exported file.
        result: What :func:`convnext_backbone.export.export` returned.
    """
    notes = result['notes']
    parts = [
        f'{out} ({result["format"]}{", int8" if result["int8"] else ""}), '
        f'{notes["part"]} of the {notes["task"]}',
        f'input {result["shape"]}, from {result["shape_from"]}'
        if result['shape']
        else f'input of any size; {notes["sizes"].partition("; ")[2]}',
        f'outputs {notes["outputs"]}',
        _speed_table(result),
    ]
    if result['metrics']:
        parts.append(_metric_table(result['metrics']))
    example = EXAMPLE.format(
        path=str(out),
        shape=result['shape'] or '(N, C, H, W)',
        channels=notes['channels'],
    )
    return '\n'.join([*parts, f'All numbers: {description_of(out)}', '', example])


def _speed_table(result: dict) -> str:
    sizes = 'x'.join(map(str, result['timed_shape']))
    table = PrettyTable(
        ['model', 'max difference', f'ms an image ({sizes})', 'of PyTorch']
    )
    table.align = 'r'
    table.align['model'] = 'l'
    base = result['ms_per_image']['PyTorch']
    for name, ms in result['ms_per_image'].items():
        found = result['differences'].get(name)
        worst = f'{max(found.values()):.1e}' if found else '-'
        table.add_row([name, worst, f'{ms:.1f}', f'{ms / base:.2f}'])
    return f'{table}\n{result["threads"]} threads'


def _metric_table(metrics: dict[str, dict[str, float]]) -> str:
    table = PrettyTable(['metric', 'PyTorch', 'int8', 'difference'])
    table.align = 'r'
    table.align['metric'] = 'l'
    before, after = metrics['before'], metrics['after']
    for name in before | after:
        # mmdet reports no metric at all when nothing is detected.
        old, new = before.get(name), after.get(name)
        cells = ['-' if value is None else f'{value:.4g}' for value in (old, new)]
        change = '-' if old is None or new is None else f'{new - old:+.4g}'
        table.add_row([name, *cells, change])
    return str(table)
