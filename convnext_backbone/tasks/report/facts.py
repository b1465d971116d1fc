"""The facts about a training: model, data, schedule, commands, environment."""

import importlib.metadata
import os
import platform
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

import convnext_backbone
from convnext_backbone.backbone.init_cfg import init_configs
from convnext_backbone.config.parts import iter_datasets
from convnext_backbone.inspect_config.fake_models import meta_model
from convnext_backbone.openmmlab.data_errors import data_errors_told
from convnext_backbone.tasks.report.history import History

PACKAGES = {  # a fork has the import name of the original, and precedes it here
    'torch': ('torch',),
    'torchvision': ('torchvision',),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
    'timm': ('timm',),
}
MODELS = {'UPerHead': 'UPerNet', 'FPNHead': 'Semantic FPN'}
Facts = list[tuple[str, str]]


def model_name(cfg: Config) -> str:
    """Name the model and its backbone, such as ``MaskRCNN, ConvNeXt tiny``."""
    backbone = cfg.model.get('backbone') or {}
    kind = backbone.get('type', '').rpartition('.')[2]
    size = backbone.get('arch', backbone.get('depth', ''))
    # A type of another registry has the name of its scope before it.
    whole = cfg.model.get('type', 'model').rpartition('.')[2]
    if 'decode_head' in cfg.model:
        head = cfg.model.decode_head
        head = head[-1] if isinstance(head, list) else head
        head = head['type'].rpartition('.')[2]
        whole = MODELS.get(head, head.removesuffix('Head'))
    size = f' {size}' if isinstance(size, str | int) and size != '' else ''
    return f'{whole}, {kind}{size}' if kind else whole


def data_name(cfg: Config) -> str:
    """Return the name of the folder that the training data is in."""
    for dataset in iter_datasets(cfg.get('train_dataloader')):
        root = dataset.get('data_root') or cfg.get('data_root')
        for prefix in (dataset.get('data_prefix') or {}).values():
            if Path(prefix).is_absolute():  # the images are elsewhere
                root = prefix
                break
        if root:
            return Path(root).name
        return dataset.get('type', 'data')
    return 'data'


def parameters(cfg: Config) -> int:
    """Count the parameters of a config's model."""
    return sum(value.numel() for value in meta_model(cfg).parameters())


def train_images(cfg: Config) -> int | None:
    """Count the images of the training data; None for none.

    Raises:
        UserError: The data cannot be read; it may have been moved since the training.
    """
    total = 0
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        for dataset in iter_datasets(cfg.get('train_dataloader')):
            with data_errors_told('reading the training data'):
                total += len(DATASETS.build(dataset))
    return total or None


def setup_facts(cfg: Config, first: Config) -> Facts:
    """Describe model, data and schedule.

    Args:
        cfg: The resolved config of the last run.
        first: That of the first run, which states the initial weights.
    """
    loader = cfg.get('train_dataloader') or {}
    dataset = next(iter_datasets(loader), {})
    wrapper = cfg.get('optim_wrapper') or {}
    optimizer = dict(wrapper.get('optimizer') or {})
    kind = optimizer.pop('type', '')
    settings = [f'{key} {_plain(value)}' for key, value in optimizer.items()]
    schedule = cfg.get('train_cfg') or {}
    length = schedule.get('max_epochs'), schedule.get('max_iters')
    clip = (wrapper.get('clip_grad') or {}).get('max_norm')
    facts = [
        ('Model', cfg.model.get('type', '')),
        ('Backbone', ' '.join(model_name(cfg).split(', ')[1:])),
        ('Neck', ', '.join(_types(cfg.model.get('neck')))),
        ('Heads', ', '.join(_heads(cfg.model))),
        ('Initial weights', _initial_weights(first)),
        ('Data set', f'{dataset.get("type", "")}, {data_name(cfg)}'),
        ('Annotations', str(dataset.get('ann_file') or '')),
        ('Augmentation', ', '.join(_steps(cfg))),
        ('Batch size', str(loader.get('batch_size', ''))),
        ('Schedule', _plural(length[0], 'epoch') or _plural(length[1], 'iteration')),
        ('Learning rate', ', then '.join(_types(cfg.get('param_scheduler')))),
        ('Optimizer', ', '.join([kind, *settings])),
        ('Layer decay', _plain((wrapper.get('paramwise_cfg') or {}).get('decay_rate'))),
        ('Gradient clipping', '' if clip is None else f'norm {clip:g}'),
        ('Mixed precision', 'yes' if 'Amp' in wrapper.get('type', '') else 'no'),
    ]
    return [(name, value) for name, value in facts if value]


def environment(history: History) -> Facts:
    """Describe what this report was made with, and the device of the training."""
    facts = [('convnext_backbone', convnext_backbone.__version__)]
    for name, distributions in PACKAGES.items():
        facts += [(name, v) for v in map(_version, distributions) if v][:1]
    device = 'CPU'
    if torch.cuda.is_available():
        device = f'{torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    facts += [
        ('Python', platform.python_version()),
        ('Platform', f'{platform.system()} {platform.release()} {platform.machine()}'),
        ('Device', device),
        ('Threads', f'{torch.get_num_threads()} of {os.cpu_count()} cores'),
    ]
    devices = (record.get('device') for record in history.records)
    trained = {device for device in devices if device is not None}
    if trained:
        facts.append(('Trained on', ', '.join(sorted(trained))))
    return facts


def seed(history: History, cfg: Config) -> int | None:
    """Return the random seed of the training, None if it is not known."""
    for record in history.records:
        if record.get('seed') is not None:
            return record['seed']
    return (cfg.get('randomness') or {}).get('seed')


def train_command(history: History) -> str:
    """Return the command that started the training."""
    for record in history.records:
        if record.get('command'):
            return portable(shlex.split(record['command']))
    first = history.runs[0].folder / 'vis_data' / 'config.py'
    return portable(['convnext-backbone', 'train', str(first)])


def infer_command(history: History, checkpoint: str | None) -> str:
    """Return the command that predicts with the trained model."""
    words = ['convnext-backbone', 'infer', str(history.config)]
    words += [checkpoint or str(history.work_dir), 'IMAGE_OR_FOLDER']
    return portable([*words, '--out-dir', 'out'])


def portable(words: list[str]) -> str:
    """Join the words of a command for a shell, with ``$HOME`` for the home folder."""
    home = str(Path.home())
    result = []
    for word in words:
        if not re.search(rf'{re.escape(home)}(?=/.)', word) or home == '/':
            result.append(shlex.quote(word))
            continue
        word = re.sub(r'([\\"$`])', r'\\\1', word)
        result.append('"' + word.replace(f'{home}/', '$HOME/') + '"')
    return ' '.join(result)


def without_home(text: str) -> str:
    """Write the user's home folder as ``~``: its path contains the user's name."""
    home = str(Path.home())
    return text if home == '/' else re.sub(rf'{re.escape(home)}(?=/)', '~', text)


def _initial_weights(cfg: Config) -> str:
    """Name what the training started from."""
    if cfg.get('load_from'):
        return without_home(cfg.load_from)
    backbone = cfg.model.get('backbone') or {}
    sources = [part.get('source') for part in init_configs(backbone.get('init_cfg'))]
    return ', '.join(without_home(s) for s in sources if s) or 'random'


def _types(node: object) -> list[str]:
    """Return the types of the configs in a list, or of a single one."""
    parts = node if isinstance(node, list | tuple) else [node]
    return [
        part['type'].rpartition('.')[2]
        for part in parts
        if isinstance(part, dict) and isinstance(part.get('type'), str)
    ]


def _heads(node: dict) -> Iterator[str]:
    """Yield the types of a model's heads."""
    for key, value in node.items():
        if key.endswith('_head'):
            kinds = _types(value)
            kind = kinds[0] if kinds else ''
            yield f'{len(kinds)} x {kind}' if len(kinds) > 1 else kind
        if key == 'roi_head':
            yield from _heads(value)


def _steps(cfg: Config) -> list[str]:
    """Return the types of the augmentations in the training pipeline."""
    outer = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    inner = next(iter_datasets(outer), {})
    steps = _types(inner.get('pipeline'))
    steps += _types(outer.get('pipeline')) if outer is not inner else []
    return [s for s in steps if not s.startswith(('Load', 'Pack'))]


def _plain(value: object) -> str:
    """Write a value of a config; nothing for None."""
    if isinstance(value, list | tuple):
        return '(' + ', '.join(map(_plain, value)) + ')'
    if isinstance(value, float):
        return f'{value:g}'
    return '' if value is None else str(value)


def _plural(number: int | None, unit: str) -> str:
    """Write a number with its unit; nothing for None."""
    return '' if number is None else f'{number} {unit}{"s" if number > 1 else ""}'


def _version(distribution: str) -> str | None:
    """Return the version of a package, None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
