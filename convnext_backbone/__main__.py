"""Runs a script of another project with mmcv's ops served.

    python -m convnext_backbone path/to/mmdetection/tools/test.py CONFIG CHECKPOINT

For scripts that import mmdet's or mmseg's models before they read the config, whose
``custom_imports`` then comes too late.
"""

import runpy
import sys
from pathlib import Path

import convnext_backbone  # noqa: F401  (serves mmcv's ops)


def main() -> None:
    """Run the script that the command line names, with the arguments after it."""
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        sys.exit(f'usage: {__doc__.splitlines()[2].strip()}')
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name='__main__')


if __name__ == '__main__':
    main()
