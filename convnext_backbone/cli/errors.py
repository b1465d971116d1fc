"""What becomes of an exception: a message and an exit status, or a traceback."""

import os
import sys
from collections.abc import Callable

from convnext_backbone.foundation.errors import UserError
from convnext_backbone.foundation.missing import advice


def run(command: Callable[[], int], debug: bool = False) -> int:
    """Run a command; print an error that the user can mend as one message.

    Any other exception is a defect and keeps its traceback.

    Args:
        command: Returns its exit status.
        debug: Show the traceback of the user's errors too; the environment variable
            ``CONVNEXT_DEBUG=1`` does the same.

    Returns:
        The exit status: the command's own, that of the error (1, or 2 when a checkpoint
        file is damaged or unsafe), 130 after Ctrl-C.
    """
    try:
        return command()
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UserError as error:
        if debug or os.environ.get('CONVNEXT_DEBUG', '0') not in ('', '0'):
            raise
        print(f'error: {error}', file=sys.stderr)
        return error.exit_status
    except ImportError as error:
        told = advice(error)
        if told is None:
            raise
        print(f'error: {told}', file=sys.stderr)
        return 1
