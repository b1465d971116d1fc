"""Runs the commands in this process, on small data."""

from convnext_backbone.cli import run_command

DET = 'configs/det/cascade_convnext_atto_demo.py'
SEG = 'configs/seg/upernet_convnext_atto_demo.py'
QUICK = {
    DET: ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1'],
    SEG: [
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'default_hooks.checkpoint.interval=2',
    ],
}
SMALL = [
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'test_dataloader.num_workers=0',
    'test_dataloader.persistent_workers=False',
]


def tool(name: str, *argv: object) -> int:
    """Run a command, named like the file in tools/; return its exit status."""
    return run_command(name.replace('_', '-'), [str(a) for a in argv])
