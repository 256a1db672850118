"""The shape of a record: its attribute names. Instrumentations write few different ones, so each is looked at once."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

Found = TypeVar("Found")

MOST_SHAPES = 4_096
"""Beyond, all are forgotten: a sender that makes up attribute names must not fill the memory."""


class Shape:
    """A set of attribute names, and what has been found out about it."""

    __slots__ = ("_found", "_present", "names")

    def __init__(self, names: Collection[str]) -> None:
        self.names = names
        self._present: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._found: dict[Any, Any] = {}

    def present(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Those of some names that are here, in the order in which they are wanted."""
        found = self._present.get(wanted)
        if found is None:
            names = frozenset(self.names)
            found = self._present[wanted] = tuple(name for name in wanted if name in names)
        return found

    def of(self, finder: Callable[[Collection[str]], Found]) -> Found:
        """What a finder says of the names. It must depend on them alone, and live as long as the process."""
        try:
            return self._found[finder]
        except KeyError:
            found = self._found[finder] = finder(self.names)
            return found


def shape_of(attributes: Mapping[str, Any]) -> Shape:
    """The shape of some attributes; the same object for the same names in the same order."""
    global _last
    if _last[0] is attributes and len(attributes) == len(_last[1].names):
        return _last[1]
    key = tuple(attributes)
    found = _shapes.get(key)
    if found is None:
        if len(_shapes) >= MOST_SHAPES:
            _shapes.clear()
        found = _shapes[key] = Shape(key)
    _last = (attributes, found)
    return found


_shapes: dict[tuple[str, ...], Shape] = {}
_last: tuple[Mapping[str, Any], Shape] = ({}, Shape(()))
"""What was asked last: a record is asked for several times in a row, and its attributes stay what they are."""
