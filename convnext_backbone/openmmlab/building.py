"""Errors of a config that show while mmengine builds its parts, told to the user."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from convnext_backbone.foundation.errors import UserError

_WRONG_ARGUMENT = re.compile(r'__init__\(\) (got an unexpected|missing)')
_UNKNOWN_TYPE = re.compile(r' is not in the .*registry')


@contextmanager
def building(config: str | None) -> Iterator[None]:
    """Turn what a config can get wrong about types and arguments into UserError.

    Args:
        config: The config's file, for the message.

    Raises:
        UserError: A class does not take an argument of the config or lacks one, or
            no class of that name is registered.
    """
    try:
        yield
    except TypeError as error:
        if not _WRONG_ARGUMENT.search(str(error)):
            raise
        raise UserError(
            f'config {config}: {error}: see the arguments of that class, and '
            f'--cfg-options'
        ) from error
    except KeyError as error:
        message = str(error.args[0]) if error.args else ''
        if not _UNKNOWN_TYPE.search(message):
            raise
        raise UserError(
            f'config {config}: {message.partition(". ")[0]}: check the name, and name '
            f'the module that registers it in custom_imports'
        ) from error
