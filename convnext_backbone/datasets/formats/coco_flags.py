"""Reads the flags of a COCO annotation that take it out of training: 0 or 1."""

FLAGS = ('iscrowd', 'ignore')


def is_ignored(annotation: dict) -> bool:
    """Tell whether an object is a crowd, or to be ignored as crowds are.

    Raises:
        ValueError: A flag is neither 0 nor 1; as text, ``"0"`` would be true.
    """
    flags = [_flag(name, annotation.get(name)) for name in FLAGS]
    return any(flags)


def _flag(name: str, value: object) -> bool:
    if value is None or value is False:
        return False
    if value is True:
        return True
    if isinstance(value, int | float) and value in (0, 1):
        return value == 1
    raise ValueError(f'has {name} {value!r:.40}, expected the number 0 or 1')
