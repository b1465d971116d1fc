"""The same as ``convnext-backbone print-config``, for a checkout."""

from convnext_backbone.cli import run_command

if __name__ == '__main__':  # workers of some platforms run this file again
    raise SystemExit(run_command('print-config'))
