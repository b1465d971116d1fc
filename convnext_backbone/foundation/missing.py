"""What to install when an import fails."""

# Import name -> the extra of this package that brings it.
EXTRAS = {
    **dict.fromkeys(('mmengine', 'mmcv', 'mmdet', 'mmseg'), 'onedl'),
    **dict.fromkeys(
        (
            *('PIL', 'cv2', 'faster_coco_eval', 'ftfy', 'jinja2', 'matplotlib'),
            *('prettytable', 'pycocotools', 'regex', 'scipy', 'supervision'),
            *('tensorboard', 'terminaltables', 'yapf', 'yaml', 'defusedxml'),
        ),
        'tools',
    ),
    **dict.fromkeys(
        ('nncf', 'onnx', 'onnxruntime', 'onnxscript', 'openvino'), 'export'
    ),
}
SYSTEM_LIBRARIES = ('libGL.so', 'libgthread', 'libxcb', 'libSM.so', 'libXext')
HEADLESS = 'pip install --force-reinstall --no-deps opencv-python-headless'


def opencv_advice(error: ImportError) -> str | None:
    """Explain a system library that opencv-python lacks; None for anything else."""
    if not any(library in str(error) for library in SYSTEM_LIBRARIES):
        return None
    return (
        f'{error}: opencv-python draws windows and needs this library, which servers '
        f'and containers often lack. Replace it by the build without windows: {HEADLESS}'
    )


def advice(error: ImportError) -> str | None:
    """Say how to get the package that an import lacks; None if we do not know it."""
    if str(error).endswith(HEADLESS):  # explained already
        return str(error)
    package = (error.name or '').partition('.')[0]
    if not isinstance(error, ModuleNotFoundError) or package not in EXTRAS:
        return None
    extra = EXTRAS[package]
    beside = ''
    if extra == 'onedl':
        beside = ' (the maintained forks; or install the original OpenMMLab packages)'
    return (
        f'the package {package} is not installed: pip install '
        f"'convnext_backbone[{extra}]'{beside}"
    )
