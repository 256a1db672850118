"""Where a calculation runs: here, or in a process of its own whose imports stay out of this one."""

from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from models.core.errors import JevonsError

P = ParamSpec("P")
T = TypeVar("T")


class NotCalculated(JevonsError):
    """A calculation that its process did not finish; nothing is known of its result."""

    code = "not_calculated"
    status = 503


class Run(Protocol):
    """Calls a function of a module with values, and returns what it returned.

    Raises   what the function raises; NotCalculated where its process failed.
    """

    def __call__(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """Run it."""
        ...


def here(function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Run it in this process."""
    return function(*args, **named)
