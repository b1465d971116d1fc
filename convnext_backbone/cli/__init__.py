"""The command line ``convnext-backbone``: one module a command.

Importing this module needs the standard library only, so that the list of commands
comes at once; torch is loaded with the command that is run.
"""

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

PROGRAM = 'convnext-backbone'
COMMANDS = {
    'train': 'train a detector or segmentor from a config',
    'test': 'evaluate a checkpoint: COCO box and mask AP, or mIoU',
    'infer': 'predict on images: pictures and JSON',
    'finetune': 'train on a folder of your own images, without writing a config',
    'check-dataset': 'tell what is in a data set, and what is wrong with it',
    'browse-dataset': 'draw images beside what the model sees after augmentation',
    'report': 'write the page about a training, WORK_DIR/report.html',
    'convert-checkpoint': "rewrite a checkpoint in another library's names",
    'export': 'write a model for ONNX Runtime or OpenVINO, in fp32 or int8',
    'benchmark': 'compare time and memory with other implementations',
    'model-info': 'count parameters, FLOPs, activations and training memory',
    'show-lr-groups': 'list the learning rate of each parameter group',
    'print-config': 'print a config with all that it inherits',
    'make-demo-data': 'draw the demo data set',
    'build-mmcv-ops': "compile mmcv's own ops, for models that need more of them",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (by default the process's) names.

    Returns:
        The exit status.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in COMMANDS:
        return run_command(argv[0], argv[1:])
    parser = _parser()
    if argv and not argv[0].startswith('-'):
        near = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f'; did you mean {near[0]}?' if near else f': see {PROGRAM} --help'
        parser.error(f'there is no command {argv[0]!r}{hint}')
    parser.parse_args(argv)
    parser.print_help()
    return 0


def run_command(name: str, argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        name: A key of :data:`COMMANDS`.
        argv: Its arguments, by default the process's.

    Returns:
        The exit status.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    # Before torch loads OpenMP.
    os.environ.setdefault('OMP_WAIT_POLICY', _wait_policy(name, argv))
    from convnext_backbone.cli.errors import run

    def command() -> int:
        module = importlib.import_module(f'{__name__}.{name.replace("-", "_")}')
        return module.main(argv)

    return run(command, debug='--debug' in argv)


def read_config(path: str) -> object:
    """Read a config by file or name, see :func:`.config.loading.read_config`."""
    from convnext_backbone.config.loading import read_config

    return read_config(path)


def _wait_policy(name: str, argv: Sequence[str]) -> str:
    """Return how OpenMP's threads wait for work.

    Threads that spin hold the core that a data loader's worker or another process
    needs: beside one busy process on two cores a training step took 2.1 s with
    sleeping threads and 8.3 s with spinning ones. On a machine that does nothing else,
    sleeping costs fine-grained operations a tenth of their time, which a benchmark
    would measure; but there spinning threads slow the threads of inference engines.
    """
    infers = {'infer', '--what=infer'} & set(argv)
    return 'ACTIVE' if name == 'benchmark' and not infers else 'PASSIVE'


def _parser() -> argparse.ArgumentParser:
    from convnext_backbone import __version__

    width = max(map(len, COMMANDS))
    lines = (f'  {name:{width}}  {what}' for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f'{PROGRAM} COMMAND ... | --help | --version',
        description='ConvNeXt V1 and V2 under OpenMMLab detectors and segmentors.',
        epilog='commands:\n'
        + '\n'.join(lines)
        + f'\n\n{PROGRAM} COMMAND --help tells what a command takes.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--version', action='version', version=f'{PROGRAM} {__version__}'
    )
    return parser
