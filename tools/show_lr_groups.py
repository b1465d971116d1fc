"""The same as ``convnext-backbone show-lr-groups``, for a checkout."""

from convnext_backbone.cli import run_command

if __name__ == '__main__':  # workers of some platforms run this file again
    raise SystemExit(run_command('show-lr-groups'))
