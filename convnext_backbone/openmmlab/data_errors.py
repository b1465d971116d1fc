"""Errors of mmengine's data sets and data loaders as errors of the user's data."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from convnext_backbone.foundation.errors import UserError


@contextmanager
def data_errors_told(doing: str) -> Iterator[None]:
    """Turn the failure to read a file of a data set into UserError.

    Such are files that are missing or that may not be read, and annotations that are
    not valid JSON. An error of a data loader's worker carries the worker's traceback,
    of which the message keeps the last line.

    Args:
        doing: What the block does, the start of the message.

    Raises:
        UserError: A file of the data set cannot be read.
    """
    try:
        yield
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f'{doing}: {lines[-1]}; check that the data set is complete and that its '
            f'files may be read'
        ) from error
