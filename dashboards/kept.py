"""Answers that hang on whole days and take long: kept in the process for a while."""

from collections.abc import Callable, Hashable
from time import monotonic
from typing import TypeVar

Answer = TypeVar("Answer")

KEPT_SECONDS = 300.0
MOST = 256
_kept: dict[Hashable, tuple[float, object]] = {}


def kept(key: Hashable, make: Callable[[], Answer], seconds: float = KEPT_SECONDS) -> Answer:
    """The answer of a key, made anew when it is older than so many seconds. Faults are not kept."""
    found = _kept.get(key)
    if found is not None and monotonic() - found[0] < seconds:
        return found[1]  # type: ignore[return-value]
    answer = make()
    if len(_kept) >= MOST:
        _kept.clear()
    _kept[key] = (monotonic(), answer)
    return answer
