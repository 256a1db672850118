"""Reading a catalogue entry field by field: each is taken once, each fault carries the field's full name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.core.hardware import PriceRange, Sourced


class Fields:
    """The fields of one entry: each is taken once, each fault is noted with its full name."""

    def __init__(self, entry: Any, where: str, faults: list[dict[str, str]]) -> None:
        self.where = where
        self.faults = faults
        self.entry: dict[str, Any] = dict(entry) if isinstance(entry, Mapping) else {}
        if not isinstance(entry, Mapping):
            self.fault("", f"has to be a table, not {type(entry).__name__}")

    def fault(self, name: str, reason: str) -> None:
        """Note what is wrong with a field."""
        self.faults.append({"field": f"{self.where}.{name}" if name else self.where, "reason": reason})

    def finish(self) -> None:
        """Whatever was not taken by now is unknown."""
        for name in self.entry:
            self.fault(name, "unknown field")

    def text(self, name: str, default: str | None = None, among: Sequence[str] = ()) -> str:
        """A text; missing without a default is a fault."""
        value = self.entry.pop(name, default)
        if not isinstance(value, str) or (default is None and not value):
            self.fault(name, "has to be a text" if value is not None else "is missing")
            return ""
        if among and value not in among:
            self.fault(name, f"is {value!r}; has to be one of {', '.join(among)}")
        return value

    def count(self, name: str, default: int | None = None, least: int = 0) -> int:
        """A whole number of at least `least`."""
        value = self.entry.pop(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(name, "is missing" if value is None else f"is {value!r}; has to be a whole number")
            return least
        if value < least:
            self.fault(name, f"is {value}; has to be at least {least}")
        return value

    def number(self, name: str, value: Any) -> float:
        """A finite number above 0."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            self.fault(name, f"is {value!r}; has to be a number above 0" if value is not None else "is missing")
            return 1.0
        return float(value)

    def table(self, name: str) -> "Fields | None":
        """An inner table, or None where there is none."""
        value = self.entry.pop(name, None)
        return None if value is None else Fields(value, f"{self.where}.{name}", self.faults)

    def needed_table(self, name: str) -> "Fields":
        """An inner table that has to be there."""
        return self.table(name) or Fields(None, f"{self.where}.{name}", self.faults)

    def sourced(self, name: str) -> Sourced | None:
        """A figure with its source, or None where there is none."""
        inner = self.table(name)
        return None if inner is None else inner.as_sourced()

    def as_sourced(self) -> Sourced:
        """This table as `value`, `source`, `confidence`."""
        value = self.number("value", self.entry.pop("value", None))
        figure = Sourced(value, self.text("source"), self.text("confidence"))
        self.finish()
        return figure

    def as_price(self) -> Sourced | PriceRange:
        """This table as a figure, or as a range `low`, `high`."""
        if "value" in self.entry:
            return self.as_sourced()
        price = PriceRange(
            self.number("low", self.entry.pop("low", None)),
            self.number("high", self.entry.pop("high", None)),
            self.text("source"),
            self.text("confidence"),
            self.text("date", ""),
        )
        self.finish()
        return price
