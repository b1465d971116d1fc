"""What the command line prints when it refuses something."""


def only_error(printed: str) -> str:
    """Return the one error message in what a command printed to stderr.

    An exception that the command line does not print as a message never comes here: it
    leaves the command, and ends the test.
    """
    (line,) = [line for line in printed.splitlines() if line.startswith('error: ')]
    return line
