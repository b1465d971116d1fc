"""The backbone is found by its scoped name in a process that never named it."""

import subprocess
import sys
import textwrap

import pytest


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_plain_mmengine_finds_the_backbone_by_itself():
    out = run("""
        from mmengine.registry import MODELS
        model = MODELS.build(dict(type='convnext_backbone.ConvNeXt', arch='atto'))
        print(type(model).__module__, model.out_channels)
    """)
    assert out.endswith('convnext_backbone.backbone.convnext (40, 80, 160, 320)\n')


@pytest.mark.parametrize(
    'scope', [pytest.param('mmdet', marks=pytest.mark.slow), 'mmseg']
)
def test_other_toolboxes_find_it_without_custom_imports(scope):
    out = run(f"""
        import convnext_backbone  # serves the ops that {scope} needs to be imported
        from mmengine.registry import init_default_scope
        from {scope}.registry import MODELS
        init_default_scope({scope!r})
        model = MODELS.build(dict(type='convnext_backbone.ConvNeXt', arch='atto'))
        print(type(model).__module__)
    """)
    assert out.endswith('convnext_backbone.backbone.convnext\n')
