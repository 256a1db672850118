"""Calls looked at one by one, as one text from the store, made into a frame where the figures are calculated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from models.core.vocabulary import INPUT_BUCKETS
from models.costs.cache_report import GROUPED_CALLS, GROUPED_COUNTS, GROUPED_LINES, CacheReport, cache_report

COUNTS = tuple(bucket.value for bucket in INPUT_BUCKETS)
"""The counts of a line, in their order."""


@dataclass(slots=True, frozen=True)
class SeenCalls:
    """The newest calls of a period in no order, at most one more than are looked at.

    A text and two lists go over to another process in an instant, where frames and rows would take the memory twice.
    """

    agents: Sequence[str | None]
    models: Sequence[str | None]
    text: str
    """A line per call: the number of its agent and model (from 1), session, microseconds of its end, and COUNTS."""


def report_of(
    seen: SeenCalls, most: int, lines: Sequence[tuple[Any, ...]], counts: Sequence[tuple[Any, ...]]
) -> CacheReport:
    """Cache figures out of the newest `most` calls and the sums of the whole period.

    Shapes   `lines` and `counts` are rows of GROUPED_LINES and GROUPED_COUNTS.
    """
    calls = _frame(seen)
    is_whole = calls.height <= most
    if not is_whole:
        calls = calls.sort("at", descending=True, maintain_order=True).head(most)
    return cache_report(
        calls,
        pl.DataFrame(lines, schema=GROUPED_LINES, orient="row"),
        pl.DataFrame(counts, schema=GROUPED_COUNTS, orient="row"),
        is_whole=is_whole,
    )


def _frame(seen: SeenCalls) -> pl.DataFrame:
    if not seen.text:
        return pl.DataFrame(schema=GROUPED_CALLS)
    names = pl.DataFrame(
        {"number": range(1, len(seen.agents) + 1), "agent": seen.agents, "model": seen.models},
        schema={"number": pl.Int64, "agent": pl.String, "model": pl.String},
    )
    read = {"number": pl.Int64(), "session": pl.String(), "at": pl.Int64(), **dict.fromkeys(COUNTS, pl.Int64())}
    calls = pl.read_csv(seen.text.encode(), has_header=False, new_columns=list(read), schema=read)
    return calls.join(names, on="number", how="left").select(
        pl.col(name).cast(kind) if name == "at" else pl.col(name) for name, kind in GROUPED_CALLS.items()
    )
