"""The error that a user can cause, and mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Something that the user gave is wrong, and the message says how to mend it.

    It names the file, key or value, says what was expected and what to do. The command
    line prints it as one message; every other exception is a defect and keeps its
    traceback.

    Attributes:
        exit_status: With which the command line ends.
    """

    exit_status = 1


@contextmanager
def os_errors_told(doing: str) -> Iterator[None]:
    """Turn the operating system's refusal of a path that the user gave into UserError.

    Args:
        doing: What the block does, the start of the message: ``writing --out x.png``.
    """
    try:
        yield
    except OSError as error:
        # An error from another process has its traceback as text, the reason last.
        reason = error.strerror or (str(error).strip() or repr(error)).splitlines()[-1]
        where = '' if error.filename is None else str(error.filename)
        named = not where or doing.endswith(f' {where}')
        raise UserError(
            f'{doing}: {reason}' + ('' if named else f' ({where})')
        ) from error
