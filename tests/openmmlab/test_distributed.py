"""Several processes without a GPU: gloo, and SyncBN configs."""

import subprocess
import sys

import pytest
from support.paths import ROOT

from convnext_backbone.demo_scenes import make_demo_data


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'length'),
    [
        ('seg/upernet_convnext_atto_demo.py', 'train_cfg.max_iters=2'),
        ('det/cascade_convnext_atto_demo.py', 'train_cfg.max_epochs=1'),
    ],
)
def test_two_processes_train_validate_and_test(tmp_path, config, length):
    data, work_dir = tmp_path / 'data', tmp_path / 'work'
    make_demo_data(data, train=8, val=3, size=128)
    common = ['--data-root', str(data), '--work-dir', str(work_dir)]
    common += ['--launcher', 'pytorch', '--cfg-options', length]
    common += ['train_cfg.val_interval=1', 'train_dataloader.batch_size=2']
    # Nearly every block dropped: some step leaves blocks without a kept sample,
    # and DDP would wait for their gradients.
    common += ['model.backbone.drop_path_rate=0.9']
    run = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2']
    run += ['--rdzv-backend=c10d', '--rdzv-endpoint=localhost:0']
    for tool, extra in (
        ('train', []),
        ('test', [str(work_dir), '--show-dir', str(tmp_path / 'show')]),
    ):
        done = subprocess.run(
            [*run, f'tools/{tool}.py', f'configs/{config}', *extra, *common],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert 'SyncBN becomes BN' in done.stdout + done.stderr
    assert (work_dir / 'metrics.json').is_file()
    assert (work_dir / 'report.html').is_file()
    assert len(list((tmp_path / 'show' / 'images').glob('*.png'))) == 3
    assert (tmp_path / 'show' / 'contact_sheet.png').is_file()
