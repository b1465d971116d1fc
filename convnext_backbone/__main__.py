"""``python -m convnext_backbone``: a command, or a script of another project.

    python -m convnext_backbone train det/cascade_convnext_t_coco
    python -m convnext_backbone path/to/mmdetection/tools/test.py CONFIG CHECKPOINT

The second runs a script with mmcv's ops served: for scripts that import mmdet's or
mmseg's models before they read the config, when its ``custom_imports`` is too late.
"""

import runpy
import sys
from pathlib import Path

from convnext_backbone.cli import COMMANDS, main


def run_script() -> None:
    """Run the script that the command line names, with the arguments after it."""
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name='__main__')


if __name__ == '__main__':
    first = sys.argv[1] if len(sys.argv) > 1 else ''
    if first not in COMMANDS and Path(first).is_file():
        run_script()
    else:
        sys.exit(main())
