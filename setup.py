"""Package metadata; tool settings live in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = re.search(
    r"__version__ = '(.+?)'",
    (ROOT / 'convnext_backbone/__init__.py').read_text(encoding='utf-8'),
).group(1)

# The maintained forks of OpenMMLab's packages, and what they import without
# declaring it. They occupy the same import names as the originals: where
# mmengine, mmcv, mmdet and mmsegmentation are installed already, leave this out.
ONEDL = [
    'onedl-mmengine>=0.10.12',
    'onedl-mmcv>=2.3.6',
    'onedl-mmdetection>=3.5.1',
    'onedl-mmsegmentation>=1.4.2',
    'faster-coco-eval>=1.6',
    'ftfy',
    'jinja2>=3',
    'matplotlib>=3.7',
    'pillow',
    'prettytable',
    'regex',
    'pycocotools',
    'setuptools',
    'supervision>=0.25',
    'tensorboard',
]
EXPORT = [
    'onnx>=1.19',
    'onnxruntime>=1.22',
    'onnxscript>=0.5',
    'openvino>=2025.3',
    'nncf>=2.18',
]
TEST = [
    *EXPORT,
    'codespell',
    'playwright',
    'pytest>=8',
    'ruff>=0.15',
    'transformers>=4.40',
]


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


setup(
    name='convnext_backbone',
    version=VERSION,
    description='ConvNeXt V1 and V2 under OpenMMLab detectors and segmentors',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['convnext_backbone', 'convnext_backbone.*']),
    package_data={'convnext_backbone.report': ['*.j2', '*.css']},
    cmdclass={'build_py': BuildWithConfigs},
    python_requires='>=3.10',
    install_requires=[
        'torch>=2.5',
        'torchvision>=0.20',
        'timm>=1.0',
        'filelock',
        'huggingface_hub>=1.0',
        'safetensors>=0.4',
        'tqdm',
    ],
    extras_require={'onedl': ONEDL, 'export': EXPORT, 'test': TEST},
)
