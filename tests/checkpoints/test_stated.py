"""Activation, eps, mean and std: stated beside the weights, and held against a model.

Each library writes its files itself and computes the features that ours must have.
"""

import json
from collections.abc import Callable

import pytest
import timm
import torch
from mmengine.logging import MMLogger
from support.checkpoint_files import assert_untouched, classifier, held, save
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.nn import functional as F

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints import Stated, matching
from convnext_backbone.checkpoints.converting import convert
from convnext_backbone.checkpoints.stated import find_stated, stated_by_name
from convnext_backbone.checkpoints.stated.values import IMAGENET, merge
from convnext_backbone.foundation.errors import UserError

DEPTHS, WIDTHS = (1, 1, 2, 1), (8, 16, 24, 32)
ARCH = dict(depths=DEPTHS, channels=WIDTHS)
CLIP_MEAN = pytest.approx((122.7709, 116.7460, 104.0937), abs=1e-3)
CLIP_STD = pytest.approx((68.5005, 66.6322, 70.3232), abs=1e-3)


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """The warnings of the log."""
    lines: list[str] = []
    monkeypatch.setattr(MMLogger, 'warning', lambda self, text: lines.append(text))
    return lines


def shake(model: nn.Module) -> nn.Module:
    """Give every weight a value that matters: layer scale and GRN start near 0."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.2)
    return model.eval()


def normed(maps: list[Tensor], eps: float) -> list[Tensor]:
    """What our new stage norms make of a library's maps."""
    return [
        F.layer_norm(m.movedim(1, 3), m.shape[1:2], eps=eps).movedim(3, 1) for m in maps
    ]


def assert_equal(
    source: object, theirs: Callable[[Tensor], list[Tensor]], **options
) -> None:
    """See that a model with the stated arguments has the library's features."""
    model = ConvNeXt(ARCH, **options).eval()
    report = checkpoints.load(model, source)
    assert 'activation and eps stated by' in str(report)
    for size in ((64, 96), (128, 64)):
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            ours, expected = model(x), theirs(x)
        if report.new:
            expected = normed(expected, model.norm_eps)
        for a, b in zip(ours, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def assert_told(source: object, cure: str, **options) -> None:
    """See that a model with other arguments is refused and left as it was."""
    model = ConvNeXt(ARCH, **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError) as error:
        checkpoints.load(model, source)
    assert f'set {cure} in the backbone' in str(error.value)
    assert_untouched(model, before)


def hf_folder(tmp_path, name: str, kind: str = 'ForImageClassification', **options):
    """Save a small model of transformers; return its features too."""
    transformers = pytest.importorskip('transformers')
    config = getattr(transformers, f'{name}Config')(
        depths=list(DEPTHS),
        hidden_sizes=list(WIDTHS),
        out_features=['stage1', 'stage2', 'stage3', 'stage4'],
        **options,
    )
    model = shake(getattr(transformers, f'{name}{kind}')(config))
    model.save_pretrained(tmp_path)
    if kind == 'Backbone':
        return lambda x: list(model(x).feature_maps)
    return lambda x: list(model(x, output_hidden_states=True).hidden_states[1:])


@pytest.mark.parametrize(
    ('name', 'kind', 'theirs', 'act'),
    [
        ('ConvNext', 'ForImageClassification', 'relu', 'relu'),
        ('ConvNext', 'Model', 'gelu_new', 'gelu_tanh'),
        ('ConvNext', 'Backbone', 'quick_gelu', 'quick_gelu'),
        ('ConvNextV2', 'Backbone', 'swish', 'silu'),
        ('ConvNextV2', 'Model', 'gelu_pytorch_tanh', 'gelu_tanh'),
        ('ConvNextV2', 'ForImageClassification', 'silu', 'silu'),
    ],
)
def test_a_folder_of_transformers_states_its_activation(
    tmp_path, name, kind, theirs, act
):
    features = hf_folder(tmp_path, name, kind, hidden_act=theirs)
    v2 = name == 'ConvNextV2'
    assert_told(tmp_path, f"act='{act}'", use_grn=v2)
    assert_equal(tmp_path, features, use_grn=v2, act=act)


@pytest.mark.parametrize('eps', [1e-12, 1e-5, 0.1])
@pytest.mark.parametrize('kind', ['Model', 'Backbone'])
def test_layer_norm_eps_of_transformers_is_the_classifiers_only(tmp_path, kind, eps):
    features = hf_folder(tmp_path, 'ConvNext', kind, layer_norm_eps=eps)
    assert_equal(tmp_path, features)
    assert_told(tmp_path, 'norm_eps=1e-6', norm_eps=1e-5)


def test_the_backbone_of_a_segmentor_of_transformers(tmp_path):
    transformers = pytest.importorskip('transformers')
    stages = ['stage1', 'stage2', 'stage3', 'stage4']
    backbone = transformers.ConvNextConfig(
        depths=list(DEPTHS),
        hidden_sizes=list(WIDTHS),
        hidden_act='relu',
        out_features=stages,
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=8, auxiliary_in_channels=WIDTHS[2]
    )
    model = shake(transformers.UperNetForSemanticSegmentation(config))
    model.save_pretrained(tmp_path)
    source = f'{tmp_path}#backbone'
    assert_told(source, "act='relu'")
    assert_equal(source, lambda x: list(model.backbone(x).feature_maps), act='relu')


def test_an_activation_that_we_do_not_have_is_told(tmp_path, said):
    hf_folder(tmp_path, 'ConvNext', hidden_act='mish')
    with pytest.raises(
        ValueError, match=r"act='mish'.*this backbone has gelu, gelu_ta"
    ):
        checkpoints.load(ConvNeXt(ARCH), tmp_path)
    assert checkpoints.load(ConvNeXt(ARCH), tmp_path, strict=False).loaded
    assert "act='mish'" in said[0]


def timm_folder(tmp_path, name: str, **options):
    """Save a small model of timm as it saves for the Hub; return its features too."""
    model = shake(timm.create_model(name, depths=DEPTHS, dims=WIDTHS, **options))
    save_for_hf(model, tmp_path, safe_serialization=True)

    def features(x: Tensor) -> list[Tensor]:
        x, maps = model.stem(x), []
        for stage in model.stages:
            x = stage(x)
            maps.append(x)
        return maps

    return features


@pytest.mark.parametrize(
    ('name', 'options', 'cure'),
    [
        ('convnext_atto', dict(act_layer='silu'), dict(act='silu')),
        ('convnext_tiny', dict(act_layer='quick_gelu'), dict(act='quick_gelu')),
        ('convnextv2_nano', dict(act_layer='relu'), dict(act='relu')),
        ('convnext_xxlarge', {}, dict(norm_eps=1e-5)),
        ('convnext_large', dict(norm_eps=0.1), dict(norm_eps=0.1)),
        ('test_convnext', {}, dict(act='gelu_tanh', norm_eps=1e-5)),
    ],
)
def test_a_folder_of_timm_states_activation_and_eps(tmp_path, name, options, cure):
    features = timm_folder(tmp_path, name, **options)
    v2 = dict(use_grn='v2' in name)
    words = [f'{k}={v!r}'.replace('e-0', 'e-') for k, v in cure.items()]
    assert_told(tmp_path, ', '.join(words), **v2)
    assert_equal(tmp_path, features, **v2, **cure)


def test_another_output_stride_is_a_warning(tmp_path, said):
    timm_folder(tmp_path, 'convnext_tiny', output_stride=16)
    assert checkpoints.load(ConvNeXt(ARCH), tmp_path).loaded
    assert 'output_stride=16' in said[0]


def test_without_strictness_a_difference_is_a_warning(tmp_path, said):
    timm_folder(tmp_path, 'convnext_atto', act_layer='silu')
    report = checkpoints.load(ConvNeXt(ARCH), tmp_path, strict=False)
    assert report.loaded
    assert "set act='silu' in the backbone" in said[0]
    assert report.stated.act == 'silu'


def test_a_whole_evaluation_is_strict_about_it_too(tmp_path):
    model = ConvNeXt(ARCH, act='relu')
    cfg = "model = dict(backbone=dict(type='convnext_backbone.ConvNeXt', act='relu'))"
    content = {'state_dict': model.state_dict(), 'meta': {'cfg': cfg}}
    source = save(tmp_path / 'own.pth', content)
    with pytest.raises(ValueError, match="set act='relu' in the backbone"):
        checkpoints.load(ConvNeXt(ARCH), source, strict=True)
    other = ConvNeXt(ARCH, act='relu')
    assert not checkpoints.load(other, source, strict=True).new
    assert other.load_report.stated.act == 'relu'


def mmpretrain_state() -> dict[str, Tensor]:
    """A classifier under mmpretrain's names."""
    renamed = {}
    for key, value in classifier(ARCH).items():
        key = key.replace('dwconv', 'depthwise_conv').replace('pwc', 'pointwise_c')
        if key.startswith('head.'):
            key = key.replace('head.', 'head.fc.')
        else:
            key = 'backbone.' + key.replace('norm.', 'norm3.', not key.find('norm.'))
        renamed[key] = value
    return renamed


MMPRETRAIN = """
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5])
model = dict(type='ImageClassifier', backbone=dict(type='ConvNeXt', {}), head=None)
"""


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        ("act_cfg=dict(type='ReLU')", ('relu', 1e-6)),
        ("act_cfg=dict(type='GELU', approximate='tanh')", ('gelu_tanh', 1e-6)),
        ("act_cfg=dict(type='mmpretrain.QuickGELU')", ('quick_gelu', 1e-6)),
        ("act_cfg=dict(type='Swish'), norm_cfg=dict(type='LN2d')", ('silu', 1e-5)),
        ("norm_cfg=dict(type='LN2d', eps=1e-3)", ('gelu', 1e-3)),
        ("act='silu', norm_eps=1e-4", ('silu', 1e-4)),
        ("arch='tiny'", ('gelu', 1e-6)),
    ],
)
@pytest.mark.parametrize('entry', ['cfg', 'config'])
def test_the_config_of_a_training_states_it(tmp_path, arguments, expected, entry):
    cfg = MMPRETRAIN.format(arguments)
    content = {'state_dict': mmpretrain_state(), 'meta': {entry: cfg}}
    source = save(tmp_path / 'a.pth', content)
    act, eps = expected
    report = checkpoints.load(ConvNeXt(ARCH, act=act, norm_eps=eps), source)
    assert (report.stated.act, report.stated.norm_eps) == expected
    if expected != ('gelu', 1e-6):
        with pytest.raises(ValueError, match=r'set (act|norm_eps)=.* in the backbone'):
            checkpoints.load(ConvNeXt(ARCH), source)


def test_the_images_of_a_training_are_stated_by_its_config():
    preprocessor = 'data_preprocessor=dict(mean=[1.0, 2, 3], std=[4, 5, 6])'
    for text, mean in (
        (f'model = dict({preprocessor})', (1, 2, 3)),
        (preprocessor, (1, 2, 3)),
        ('img_norm_cfg = dict(mean=[7, 8, 9], std=[1, 1, 1], to_rgb=True)', (7, 8, 9)),
        ("model = dict(data_preprocessor=dict(type='x'))", None),
        ('model = [1]', None),
        ('data_preprocessor = dict(mean=["1"], std=None)', None),
        ('a = dict(1)', None),
        ('a =', None),
    ):
        checkpoint = held({'state_dict': {}, 'meta': {'cfg': text}})
        assert find_stated(checkpoint, 'ours').mean == mean


def test_backbones_that_differ_state_nothing(tmp_path):
    cfg = "model = dict(a=dict(type='ConvNeXt', act='relu'), b=dict(type='ConvNeXt'))"
    stated = find_stated(held({'state_dict': {}, 'meta': {'cfg': cfg}}), 'ours')
    assert (stated.act, stated.norm_eps) == (None, None)


def test_what_nobody_states_is_assumed_and_said(tmp_path):
    source = save(tmp_path / 'a.pth', classifier(ARCH))
    report = checkpoints.load(ConvNeXt(ARCH), source)
    assert report.stated == Stated()
    assumed = 'activation and eps not stated by the file; assumed gelu, 1e-6'
    assert str(report).endswith(assumed)
    report = checkpoints.load(ConvNeXt(ARCH, act='relu'), source)
    taken = 'activation and eps not stated by the file; relu, 1e-6 taken from the model'
    assert str(report).endswith(taken)


def test_a_config_of_another_librarys_weights_does_not_count(tmp_path):
    hf_folder(tmp_path, 'ConvNext', hidden_act='relu')
    source = save(tmp_path / 'meta.pth', classifier(ARCH))
    assert checkpoints.load(ConvNeXt(ARCH), source).stated == Stated()


@pytest.mark.parametrize(
    ('content', 'warnings'),
    [(b'{"a":', 2), (b'\xff\xfe', 2), (b'[1]', 0), (b'{}', 0), (b'null', 0)],
)
def test_a_config_that_says_nothing_is_no_obstacle(tmp_path, content, warnings, said):
    hf_folder(tmp_path, 'ConvNext')
    for name in ('config.json', 'preprocessor_config.json'):
        (tmp_path / name).write_bytes(content)
    report = checkpoints.load(ConvNeXt(ARCH), tmp_path)
    assert 'assumed gelu, 1e-6' in str(report)
    assert len(said) == warnings


@pytest.mark.parametrize(
    'config',
    [
        {'architecture': 'resnet18'},
        {'architecture': 'hf-hub:timm/convnext_atto.d2_in1k'},
        {'architecture': 'convnext_no_such'},
        {'architecture': 'convnext_atto', 'model_args': {'act_layer': 'no_such'}},
        {'architecture': 3, 'pretrained_cfg': None},
        {'model_cfg': {'vision_cfg': {}}},
    ],
)
def test_a_folder_that_timm_cannot_build_states_nothing(tmp_path, config, said):
    timm_folder(tmp_path, 'convnext_atto')
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert checkpoints.load(ConvNeXt(ARCH), tmp_path).stated.act is None


def test_a_file_of_torchvision_has_its_only_activation(tmp_path):
    plain, target = save(tmp_path / 'a.pth', classifier(ARCH)), tmp_path / 'tv.pth'
    convert(plain, target, 'torchvision')
    report = checkpoints.load(ConvNeXt(ARCH), target)
    assert (report.stated.act, report.stated.norm_eps) == ('gelu', 1e-6)
    assert_told(target, "act='gelu'", act='relu')


@pytest.mark.parametrize(
    ('name', 'act', 'eps', 'mean', 'std'),
    [
        ('convnext_tiny', 'gelu', 1e-6, IMAGENET.mean, IMAGENET.std),
        ('convnext_xxlarge.clip_laion2b_rewind', 'gelu', 1e-5, CLIP_MEAN, CLIP_STD),
        ('convnext_base.clip_laiona_320', 'gelu', 1e-6, CLIP_MEAN, CLIP_STD),
        ('test_convnext2.r160_in1k', 'gelu_tanh', 1e-5, (127.5,) * 3, (127.5,) * 3),
        ('convnext_zepto_rms.ra4_e3600_r224_in1k', 'gelu', None, (127.5,) * 3, None),
        ('convnextv2_huge.fcmae', 'gelu', 1e-6, IMAGENET.mean, IMAGENET.std),
    ],
)
def test_timms_registry_knows_its_weights(name, act, eps, mean, std):
    stated = stated_by_name(checkpoints.CheckpointRef.parse(f'timm://{name}'))
    assert (stated.act, stated.norm_eps, stated.mean) == (act, eps, mean)
    assert std is None or stated.std == std
    if eps not in (1e-6, None):
        state = timm.create_model('convnext_xxlarge', depths=DEPTHS, dims=WIDTHS)
        checkpoint = held(state.state_dict(), f'timm://{name}')
        with pytest.raises(ValueError, match=r'norm_eps=1e-5 in the backbone'):
            matching.match(ConvNeXt(ARCH), checkpoint, 'auto')


@pytest.mark.parametrize(
    'source',
    [
        'meta://convnextv2_tiny_1k_224_fcmae',
        'meta://coco/mask_rcnn_convnext_tiny_1k_3x',
        'https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224.pth',
    ],
)
def test_metas_files_are_known(source):
    stated = stated_by_name(checkpoints.CheckpointRef.parse(source))
    assert (stated.act, stated.norm_eps) == ('gelu', 1e-6)
    assert (stated.mean, stated.std) == (IMAGENET.mean, IMAGENET.std)
    checkpoint = held(classifier(ARCH), source)
    with pytest.raises(ValueError, match="set act='gelu' in the backbone"):
        matching.match(ConvNeXt(ARCH, act='silu'), checkpoint, 'auto')


@pytest.mark.parametrize(
    ('options', 'mean', 'std'),
    [
        ({}, (127.5,) * 3, (127.5,) * 3),
        (dict(image_mean=[0.1, 0.2, 0.3]), (25.5, 51, 76.5), (127.5,) * 3),
        (dict(do_normalize=False), (0,) * 3, (255,) * 3),
        (
            dict(do_rescale=False, image_mean=[7.0] * 3, image_std=[9.0] * 3),
            (7,) * 3,
            (9,) * 3,
        ),
        (dict(rescale_factor=1 / 127.5), (63.75,) * 3, (63.75,) * 3),
    ],
)
def test_the_image_processor_of_transformers_is_read(tmp_path, options, mean, std):
    transformers = pytest.importorskip('transformers')
    hf_folder(tmp_path, 'ConvNext')
    transformers.ConvNextImageProcessor(**options).save_pretrained(tmp_path)
    stated = checkpoints.load(ConvNeXt(ARCH), tmp_path).stated
    assert (stated.mean, stated.std) == (mean, std)
    assert stated.origin == 'config.json and preprocessor_config.json'
    text = checkpoints.load(ConvNeXt(ARCH), tmp_path).full_text()
    assert f'stated mean: {stated.mean}' in text
    assert 'stated act: gelu' in text


@pytest.mark.parametrize('name', ['open_clip_pytorch_model.bin', 'model.safetensors'])
def test_an_open_clip_folder_is_read(tmp_path, name):
    model = timm.create_model('convnext_xxlarge', depths=DEPTHS, dims=WIDTHS)
    state = {f'visual.trunk.{k}': v for k, v in model.state_dict().items()}
    config = {
        'model_cfg': {
            'embed_dim': 8,
            'vision_cfg': {'timm_model_name': 'convnext_xxlarge', 'image_size': 256},
        },
        'preprocess_cfg': {
            'mean': [0.48145466, 0.4578275, 0.40821073],
            'std': [0.26862954, 0.26130258, 0.27577711],
        },
    }
    (tmp_path / 'open_clip_config.json').write_text(json.dumps(config))
    source = save(tmp_path / name, state)
    assert_told(source, 'norm_eps=1e-5')
    stated = checkpoints.load(ConvNeXt(ARCH, norm_eps=1e-5), source).stated
    assert (stated.mean, stated.std) == (CLIP_MEAN, CLIP_STD)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_a_converted_file_keeps_what_its_source_stated(tmp_path, suffix, said):
    folder = tmp_path / 'hf'
    hf_folder(folder, 'ConvNext', hidden_act='relu')
    target = tmp_path / f'ours{suffix}'
    convert(folder, target, 'ours')
    assert "trained with act='relu'" in said[0]
    assert_told(target, "act='relu'")
    report = checkpoints.load(ConvNeXt(ARCH, act='relu'), target)
    assert report.family == 'meta'
    assert report.stated.origin == 'config.json'


def test_the_first_who_states_a_value_is_believed():
    stated = merge(
        [
            Stated(act='relu', origin='a'),
            Stated(act='gelu', norm_eps=1.0, origin='b'),
            Stated(norm_eps=2.0, origin='c'),
        ]
    )
    assert stated == Stated('relu', 1.0, origin='a and b')
