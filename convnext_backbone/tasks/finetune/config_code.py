"""Python values as the text of a config."""

from collections.abc import Mapping

from yapf.yapflib.yapf_api import FormatCode

STYLE = {
    'based_on_style': 'pep8',
    'column_limit': 88,
    'each_dict_entry_on_separate_line': True,
    'split_before_first_argument': True,
    'dedent_closing_brackets': True,
    'coalesce_brackets': True,
}


class Expression(str):
    """Code that is written into a config as it is, without quotes."""

    __slots__ = ()


def to_code(value: object) -> str:
    """Write a value as an expression, a mapping as ``dict(...)`` if its keys allow."""
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key.isidentifier() for key in value):
            entries = (f'{key}={to_code(item)}' for key, item in value.items())
            return f'dict({", ".join(entries)})'
        entries = (f'{key!r}: {to_code(item)}' for key, item in value.items())
        return f'{{{", ".join(entries)}}}'
    if isinstance(value, list):
        return f'[{", ".join(map(to_code, value))}]'
    if isinstance(value, tuple):
        comma = ',' if len(value) == 1 else ''
        return f'({", ".join(map(to_code, value))}{comma})'
    return repr(value)


def assignments(values: Mapping[str, object]) -> str:
    """Write a line ``name = value`` for each value."""
    return ''.join(f'{name} = {to_code(value)}\n' for name, value in values.items())


def format_code(text: str) -> str:
    """Format the code of a config."""
    return FormatCode(text, style_config=STYLE)[0]
