"""Where the project keeps what it made and can make again."""

import os
from pathlib import Path


def home_dir(name: str) -> Path:
    """Return ``$CONVNEXT_HOME/NAME``, by default in ``~/.cache/convnext_backbone``."""
    home = os.environ.get('CONVNEXT_HOME')
    root = Path(home) if home else Path.home() / '.cache' / 'convnext_backbone'
    return root.expanduser() / name
