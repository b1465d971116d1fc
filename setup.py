"""The one step of the build that pyproject.toml cannot say."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithConfigs(build_py):
    """Puts the configs into the wheel, where OpenMMLab's packages have theirs."""

    def run(self) -> None:
        """Build the package, then copy the configs into it."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, 'convnext_backbone', '.mim', 'configs')
            shutil.rmtree(target, ignore_errors=True)
            ignore = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / 'configs', target, ignore=ignore)


setup(cmdclass={'build_py': BuildWithConfigs})
