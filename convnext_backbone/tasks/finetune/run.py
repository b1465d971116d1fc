"""Checks the data, converts it, writes the config, trains; goes on where it was."""

import json
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

from convnext_backbone import checkpoints
from convnext_backbone.config.loading import load_run_config, read_config
from convnext_backbone.config.names import SCOPE, find_config
from convnext_backbone.config.parts import is_ours
from convnext_backbone.datasets import find_source
from convnext_backbone.datasets.cache import Converted, cache_folder, prepare, read
from convnext_backbone.datasets.formats.mask_options import MaskOptions
from convnext_backbone.datasets.records import Source
from convnext_backbone.foundation.errors import UserError, os_errors_told
from convnext_backbone.foundation.files import as_written
from convnext_backbone.foundation.json_files import write_json
from convnext_backbone.tasks.finetune.config_text import write_config
from convnext_backbone.tasks.finetune.default_weights import default_weights
from convnext_backbone.tasks.finetune.plan import Plan
from convnext_backbone.tasks.finetune.recipe import decide, learns_masks
from convnext_backbone.tasks.initial_weights import (
    InitialWeights,
    fetch_initial_weights,
)
from convnext_backbone.tasks.run_record import last_run
from convnext_backbone.tasks.train import train

SEED = 0
TASKS = {'mmdet': 'det', 'mmseg': 'seg'}
LAUNCHERS = {  # the variables that hold a process's number and how many there are
    'pytorch': ('RANK', 'WORLD_SIZE'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE'),
}
RECORD = 'finetune.json'  # in the work dir: the options that its config came from


@dataclass(frozen=True)
class Options:
    """What the user wants: see ``convnext-backbone finetune --help``."""

    path: str
    base: str
    init: str | None = None
    from_scratch: bool = False
    epochs: int | None = None
    iters: int | None = None
    classes: tuple[str, ...] | None = None
    format: str | None = None
    ignore_label: int | None = None
    images: str | None = None
    masks: str | None = None

    def source(self, task: str) -> Source:
        """Recognise the data set, for a task.

        Raises:
            UserError: There is none, or the options do not fit it.
        """
        masks = MaskOptions(self.ignore_label, self.images, self.masks)
        return find_source(self.path, format=self.format, task=task, masks=masks)

    def command(self, work_dir: Path) -> str:
        """Return the command line that means these options."""
        words = ['convnext-backbone', 'finetune', self.path, '--base', self.base]
        named = ('init', 'epochs', 'iters', 'format', 'ignore_label', 'images', 'masks')
        for name in named:
            if getattr(self, name) is not None:
                words += [f'--{name.replace("_", "-")}', str(getattr(self, name))]
        if self.from_scratch:
            words.append('--from-scratch')
        if self.classes:
            words += ['--classes', *self.classes]
        return shlex.join([*words, '--work-dir', str(work_dir)])


def finetune(
    options: Options, work_dir: str | None = None, launcher: str = 'none'
) -> Path:
    """Train on a data set of any known format; continue a run that was interrupted.

    Args:
        options: What to train on what.
        work_dir: Output folder; None names it after the data and the base.
        launcher: How the processes were started; the first prepares for all.

    Returns:
        The work dir.

    Raises:
        UserError: The data has errors, the weights cannot be had, or the work dir
            belongs to another command.
    """
    logger = MMLogger.get_current_instance()
    folder = Path(work_dir or default_work_dir(options)).resolve()
    config = folder / 'config.py'
    rank, processes = position(launcher)
    while rank > 0 and not config.is_file():
        time.sleep(1)  # the launcher ends us if the first process fails
    planned = not config.is_file()
    if planned:
        plan = make_plan(options, folder, processes=processes)
        with os_errors_told('writing into --work-dir'):
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / RECORD, record(options, plan.data.folder))
            partial = config.with_suffix('.part')
            partial.write_text(write_config(plan), encoding='utf-8')
            partial.replace(config)
        logger.info(f'Config written to {config}')
    else:
        check_same(options, folder)
        logger.info(f'{config} is there already and taken as it is')
        if last_run(folder).get('finished'):
            logger.info(
                f'Training is finished: nothing to do; with another --work-dir it '
                f'starts anew, convnext-backbone report {shlex.quote(str(folder))} '
                f'writes its report'
            )
            return folder
    cfg = load_run_config(
        str(config), ('train', 'val'), work_dir=str(folder), launcher=launcher
    )
    resume = 'auto' if checkpoints.last_checkpoint(folder) else None
    train(cfg, resume=resume, weights_fetched=planned)  # the plan fetched them
    return folder


def preview(options: Options, work_dir: str | None = None) -> str:
    """Return the config that :func:`finetune` would write; write nothing.

    Raises:
        UserError: The data has errors, or the base does not serve.
    """
    folder = Path(work_dir or default_work_dir(options)).resolve()
    return write_config(make_plan(options, folder, dry_run=True))


def position(launcher: str) -> tuple[int, int]:
    """Return this process's number and how many there are, as its launcher tells.

    Raises:
        UserError: The launcher did not start this process.
    """
    if launcher == 'none':
        return 0, 1
    rank, size = LAUNCHERS[launcher]
    try:
        return int(os.environ[rank]), int(os.environ[size])
    except (KeyError, ValueError) as error:
        raise UserError(
            f'--launcher {launcher} needs the environment variables {rank} and {size}, '
            f'which its launcher sets to numbers ({error!r}): start the processes with '
            f'that launcher, or leave --launcher out for a single one'
        ) from error


def make_plan(
    options: Options, work_dir: Path, *, processes: int = 1, dry_run: bool = False
) -> Plan:
    """Check and convert the data and decide how to train.

    Args:
        options: What to train on what.
        work_dir: Output folder.
        processes: How many will train.
        dry_run: Convert nothing, fetch nothing.
    """
    base = read_base(options.base)
    task = TASKS[base.default_scope]
    weights = choose_weights(options, base)
    if weights and not dry_run:
        fetch_initial_weights([weights], 'finetune')
    stated = what_is_stated(weights, base, fetched=not dry_run)
    source = options.source(task)
    if dry_run:
        _, numbers = read(source, options.classes, SEED)
        data = Converted(Path('CACHE'), source.folder, numbers, news=True)
    else:
        data = prepare(source, options.classes, SEED)
    _tell(data)
    recipe = decide(
        base,
        data.numbers,
        pretrained=not options.from_scratch,
        processes=processes,
        epochs=options.epochs,
        iters=options.iters,
    )
    check_masks(base, recipe.masks)
    MMLogger.get_current_instance().info(f'Training: {recipe}')
    if Path(options.base).is_file():
        name = str(Path(options.base).resolve())
    else:
        file = find_config(options.base)
        assert file is not None, 'read_base has read it'
        name = f'{SCOPE}{file.parent.name}/{file.name}'
    command = options.command(work_dir)
    return Plan(name, base, data, recipe, weights, work_dir, command, stated)


def choose_weights(options: Options, base: Config) -> InitialWeights | None:
    """Return what to start from: what the user says, or what is published.

    A local file is named by its absolute path, as the config may be used anywhere.

    Raises:
        UserError: There is no such local file.
    """
    if options.from_scratch:
        return None
    if not options.init:
        return default_weights(base)
    reference = checkpoints.pick_file(options.init)
    if reference.path is not None:
        reference = reference.at(reference.path.resolve())
    return InitialWeights('model', reference)


def what_is_stated(
    weights: InitialWeights | None, base: Config, fetched: bool
) -> checkpoints.Stated:
    """Return what the source of the weights states of them; nothing is downloaded.

    Args:
        weights: What the training starts from.
        base: The config that is fine-tuned.
        fetched: Whether they are on this machine.
    """
    if weights is None or not is_ours(base.model.get('backbone')):
        return checkpoints.Stated()
    path = weights.reference.path
    if fetched or (path is not None and path.is_file()):
        return checkpoints.stated_by(weights.reference)
    return checkpoints.stated_by_name(weights.reference)


def _tell(data: Converted) -> None:
    """Log what the data holds, and what may be wrong with it."""
    logger = MMLogger.get_current_instance()
    splits = data.numbers['splits']
    if data.numbers['divided']:
        logger.info(
            f'No validation images: {splits["val"]["images"]} of them were set apart '
            f'(stratified, seed {SEED}); {data.folder / "splits.json"} lists them'
        )
    state = 'Converted to' if data.news else 'Was converted before:'
    logger.info(f'{state} {data.folder}')
    if data.numbers['warnings'] and 'warning:' in data.numbers['warnings']:
        logger.warning(f'The data set has warnings:\n{data.numbers["warnings"]}')


def read_base(name: str) -> Config:
    """Read the config to fine-tune.

    Raises:
        UserError: It cannot be read, or is neither a detector's nor a segmentor's.
    """
    base = read_config(name)
    if base.get('default_scope') not in TASKS or not base.get('train_dataloader'):
        raise UserError(
            f'--base {name}: expected the config of a detector or segmentor with its '
            f'training data, such as det/cascade_convnext_t_coco'
        )
    return base


def check_masks(base: Config, masks: bool) -> None:
    """Raise UserError when a model needs masks that the data has not."""
    roi_head = base.model.get('roi_head') or {}
    needs = learns_masks(base) and not roi_head.get('mask_head')
    if needs and not masks:
        raise UserError(
            f'{base.model.type} learns from instance masks and the data has boxes '
            f'only: take a base for boxes, such as det/cascade_boxes_convnext_t_coco'
        )


def default_work_dir(options: Options) -> str:
    """Return ``work_dirs/DATA_BASE``."""
    data, base = as_written(Path(options.path)), Path(options.base).stem
    name = data.stem if data.is_file() else data.name
    return f'work_dirs/{name}_{base}'


def record(options: Options, data: Path) -> dict:
    """Return what the work dir keeps of the command, ready for JSON."""
    entry = {**asdict(options), 'path': str(Path(options.path).resolve())}
    entry['classes'] = options.classes and list(options.classes)
    return {**entry, 'data': str(data)}


def check_same(options: Options, work_dir: Path) -> None:
    """See that a work dir's config came from these options and still has its data.

    Raises:
        UserError: It came from others, or the data set is another one by now.
    """
    path = work_dir / RECORD
    if not path.is_file():
        raise UserError(
            f'{work_dir} holds a config.py that was not written here: give another '
            f'--work-dir'
        )
    try:
        with os_errors_told('reading what --work-dir was begun with'):
            old = json.loads(path.read_text(encoding='utf-8'))
        data = Path(old['data'])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f'{path} is damaged ({error!r}), so that nobody knows what {work_dir} was '
            f'begun with: give another --work-dir'
        ) from error
    for name, value in record(options, data).items():
        if old.get(name) != value:
            raise UserError(
                f'{work_dir} holds a training with {name}={old.get(name)!r}, not '
                f'{value!r}: give another --work-dir, or remove it'
            )
    task = TASKS[read_base(options.base).default_scope]
    source = options.source(task)
    now = cache_folder(source, options.classes, SEED)
    if now.name != data.name:
        raise UserError(
            f'{options.path} has changed since {work_dir} was begun: give another '
            f'--work-dir, or go on with the data as it was converted: '
            f'convnext-backbone train {shlex.quote(str(work_dir / "config.py"))} '
            f'--resume'
        )
    if not data.is_dir():
        if now != data:
            raise UserError(
                f'{data}, where the data was converted to, is gone: set CONVNEXT_HOME '
                f'to what it was, or give another --work-dir'
            )
        prepare(source, options.classes, SEED)


def parse_classes(words: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return class names given as separate words or as one with commas."""
    if not words:
        return None
    names = [name.strip() for word in words for name in word.split(',')]
    return tuple(filter(None, names))
