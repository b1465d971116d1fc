"""What the export uses of other packages without their promise that it stays.

A failure here names the module of ours that has to follow the other package.
"""

import importlib
import inspect

import pytest
from mmengine.registry import MODELS, init_default_scope
from support.commands import DET, SEG
from support.tiny_models import tiny_config


@pytest.mark.parametrize('name', ['_channel_conversion', '_enable_normalize'])
@pytest.mark.parametrize('config', [DET, SEG])
def test_data_preprocessors_tell_how_they_normalise(config, name):
    cfg = tiny_config(config)
    init_default_scope(cfg.default_scope)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    assert hasattr(preprocessor, name), (
        f'{type(preprocessor).__name__} has no {name} any more: ImageModel in '
        f'export/image_model.py must learn from something else how it normalises'
    )


@pytest.mark.parametrize(
    ('module', 'name', 'user'),
    [
        ('onnxruntime.tools.onnx_model_utils', 'make_input_shape_fixed', 'convert.py'),
        ('onnxruntime.tools.onnx_model_utils', 'fix_output_shapes', 'convert.py'),
        (
            'onnxruntime.quantization.shape_inference',
            'quant_pre_process',
            'quantize.py',
        ),
    ],
)
def test_undocumented_functions_of_onnxruntime_exist(module, name, user):
    assert hasattr(importlib.import_module(module), name), (
        f'{module} has no {name} any more: export/{user} must fix shapes otherwise'
    )


def test_nncf_takes_its_core_from_openvino():
    from nncf.openvino import engine

    assert 'ov.Core()' in inspect.getsource(engine), (
        'NNCF does not call openvino.Core() any more: quantize_openvino in '
        'export/quantize.py must keep it from making a core of its own otherwise'
    )


def test_mmseg_s_upsample_has_the_name_and_the_attributes_that_are_looked_for():
    from mmseg.models.utils import Upsample

    module = Upsample(scale_factor=2)
    found = (type(module).__module__, type(module).__name__)
    assert found == ('mmseg.models.utils.wrappers', 'Upsample'), (
        f'mmseg has moved Upsample to {found}: _is_upsample in export/rewrite.py must '
        f'look for it there'
    )
    assert isinstance(module.scale_factor, float), (
        'mmseg does not keep scale_factor as a float any more: export/rewrite.py '
        'recognises integer factors by it'
    )
    assert {'size', 'mode', 'align_corners'} <= set(vars(module)), (
        'mmseg has renamed an attribute of Upsample that export/rewrite.py reads'
    )


def test_coco_s_metric_keeps_the_images_that_it_expects():
    from mmdet.evaluation import CocoMetric

    assert 'self.img_ids' in inspect.getsource(CocoMetric), (
        'CocoMetric has no img_ids any more: _leave_out_missing_images in '
        'export/accuracy.py must tell it otherwise which images are evaluated'
    )
