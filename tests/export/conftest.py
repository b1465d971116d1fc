"""What the tests of the export share."""

from pathlib import Path

import pytest
import torch
from support.commands import DET, SEG
from support.tiny_models import tiny_config, tiny_model


@pytest.fixture(scope='module')
def tiny(tmp_path_factory, demo) -> dict[str, list]:
    """A config of each task, a checkpoint of it, and the demo data, as arguments."""
    found = {}
    for config in (DET, SEG):
        folder = tmp_path_factory.mktemp('tiny')
        cfg = tiny_config(config)
        file = folder / f'{Path(config).stem}.py'
        cfg.dump(file)
        checkpoint = folder / 'tiny.pth'
        torch.save(tiny_model(config).state_dict(), checkpoint)
        found[config] = [file, checkpoint, '--data-root', demo]
    return found
