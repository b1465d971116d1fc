"""Images normalised unlike those that the weights were trained with are told."""

import json

import pytest
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel, ImgDataPreprocessor
from support.checkpoint_files import ARCH, classifier, save
from torch import nn
from torch.utils.data import DataLoader

from convnext_backbone import checkpoints
from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.checkpoints.converting import convert
from convnext_backbone.openmmlab.normalisation import normalisation_warning
from convnext_backbone.openmmlab.runner import Runner, TestRunner

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
CLIP = dict(mean=[122.77, 116.75, 104.09], std=[68.5, 66.63, 70.32])
HALF = dict(mean=[127.5] * 3, std=[127.5] * 3)


class Model(BaseModel):
    def __init__(self, data_preprocessor=None, init_cfg=None, in_channels=3):
        super().__init__(data_preprocessor)
        self.backbone = ConvNeXt(ARCH, in_channels=in_channels, init_cfg=init_cfg)

    def forward(self, inputs, mode='tensor'):
        loss = self.backbone(inputs)[3].mean()
        return dict(loss=loss) if mode == 'loss' else [loss]


def hf_folder(folder, mean, std):
    """Weights of transformers with the preprocessing beside them."""
    folder.mkdir()
    plain = save(folder / 'plain.pth', classifier(ARCH))
    convert(plain, folder / 'model.safetensors', 'hf')
    (folder / 'plain.pth').unlink()
    config = {
        'image_mean': [v / 255 for v in mean],
        'image_std': [v / 255 for v in std],
    }
    (folder / 'preprocessor_config.json').write_text(json.dumps(config))
    return str(folder)


@pytest.fixture
def clip(tmp_path) -> str:
    return hf_folder(tmp_path / 'clip', **CLIP)


def warn(source: str, preprocessor: nn.Module, **options) -> str | None:
    model = Model(preprocessor, **options)
    checkpoints.load(model, source)
    return normalisation_warning(model)


@pytest.mark.parametrize('stated', [IMAGENET, CLIP, HALF])
@pytest.mark.parametrize('used', [IMAGENET, CLIP, HALF])
def test_a_difference_names_the_values_to_set(tmp_path, stated, used):
    source = hf_folder(tmp_path / 'hf', **stated)
    warning = warn(source, ImgDataPreprocessor(**used, bgr_to_rgb=True))
    if stated is used:
        assert warning is None
    else:
        cure = f'data_preprocessor=dict(mean={stated["mean"]}, std={stated["std"]})'
        assert f'mean={used["mean"]}' in warning
        assert warning.endswith(f'set {cure} in the model')


def test_means_in_the_order_of_bgr_differ(tmp_path):
    source = hf_folder(tmp_path / 'hf', **IMAGENET)
    reversed_ = {key: values[::-1] for key, values in IMAGENET.items()}
    warning = warn(source, ImgDataPreprocessor(**reversed_))
    assert warning.endswith('and bgr_to_rgb=True where images are read as BGR')


def test_without_normalisation_the_pipeline_may_do_it(clip):
    for preprocessor in (BaseDataPreprocessor(), ImgDataPreprocessor()):
        assert 'does not normalise images' in warn(clip, preprocessor)
        assert 'unless the pipeline does' in warn(clip, preprocessor)


def test_what_cannot_be_compared_is_not_told(tmp_path, clip):
    unstated = save(tmp_path / 'a.pth', classifier(ARCH))
    assert warn(unstated, ImgDataPreprocessor(**CLIP)) is None
    grey = ImgDataPreprocessor(mean=[1.0], std=[1.0])
    assert warn(clip, grey, in_channels=1) is None
    assert normalisation_warning(Model(ImgDataPreprocessor(**CLIP))) is None
    assert normalisation_warning(nn.Linear(1, 1)) is None


def runner(kind: type[Runner], tmp_path, model: Model, **options) -> Runner:
    loader = DataLoader([torch.randn(3, 64, 64)])
    return kind(
        model,
        str(tmp_path / 'work'),
        default_hooks=dict(logger=None, checkpoint=None),
        experiment_name=tmp_path.name,
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        **options,
    )


@pytest.mark.parametrize('way', ['init_cfg', 'load_from'])
def test_a_training_says_it_whatever_gives_the_weights(
    tmp_path, monkeypatch, clip, way
):
    init_cfg = dict(type='convnext_backbone.Checkpoint', source=clip)
    model = Model(
        ImgDataPreprocessor(**IMAGENET), init_cfg if way == 'init_cfg' else None
    )
    options = dict(load_from=clip) if way == 'load_from' else {}
    training = runner(Runner, tmp_path, model, **options)
    said: list[str] = []
    monkeypatch.setattr(training.logger, 'warning', said.append)
    training._init_model_weights()
    training.load_or_resume()
    assert len([line for line in said if 'set data_preprocessor' in line]) == 1


def test_an_evaluation_says_it(tmp_path, monkeypatch, clip):
    model = Model(ImgDataPreprocessor(**IMAGENET))
    evaluation = runner(TestRunner, tmp_path, model)
    checkpoints.load(evaluation.model, clip)
    said: list[str] = []
    monkeypatch.setattr(evaluation.logger, 'warning', said.append)
    evaluation.load_or_resume()
    assert 'set data_preprocessor' in said[0]
