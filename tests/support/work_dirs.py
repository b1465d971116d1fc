"""Lays out work dirs as trainings leave them."""

import json
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from support.commands import DET
from support.paths import ROOT

from convnext_backbone.config.loading import set_data_root

TIMES = ('20260101_100000', '20260102_100000')
RECORD = {
    'command': 'python tools/train.py CONFIG --seed 7',
    'started': '2026-01-01T10:00:00',
    'finished': '2026-01-01T11:00:00',
    'seconds': 3600.0,
    'peak_memory_mb': 2048,
    'device': 'cpu',
    'seed': 7,
}


def train_line(step: int, **more: object) -> dict:
    loss = {'loss': 2.0 / step, 'loss_cls': 1.5 / step, 'loss_box': 0.5 / step}
    return {'lr': 0.1, 'time': 2.0, 'data_time': 0.1, **loss, 'step': step, **more}


def write_run(work_dir: Path, time: str, lines: list[dict], config: str = '') -> Path:
    folder = work_dir / time / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'config.py').write_text(config)
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (folder / 'scalars.json').write_text(text)
    return folder.parent


def make_work_dir(path: Path, data: Path, config: str, *, trained: bool = True) -> Path:
    """Lay out a work dir as a training leaves it, of a model of random weights."""
    cfg = Config.fromfile(ROOT / config)
    set_data_root(cfg, str(data))
    cfg.work_dir = str(path)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.num_workers, loader.persistent_workers = 0, False
    if config == DET:  # of random weights, any number is enough
        cfg.model.test_cfg.rcnn.update(max_per_img=10, score_thr=0.0)
        cfg.model.test_cfg.rpn.update(nms_pre=100, max_per_img=50)
    metrics = ['coco/segm_mAP', 'coco/bbox_mAP'] if config == DET else ['mIoU', 'aAcc']
    more = [{'epoch': 1} if config == DET else {} for _ in range(3)]
    lines = [train_line(step, **more[0]) for step in (1, 2, 3)]
    lines.append({**dict.fromkeys(metrics, 0.25), 'time': 1.0, 'step': 1})
    run = write_run(path, TIMES[0], lines, cfg.pretty_text)
    if trained:
        (run / 'run.json').write_text(json.dumps(RECORD))
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build(cfg.model)
        meta = {'iter': 3, 'epoch': 1}
        checkpoint = {'meta': meta, 'state_dict': model.state_dict()}
        torch.save(checkpoint, path / 'best_of_all_iter_3.pth')
    return path
