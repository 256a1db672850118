"""What the pages need to know, as a Protocol; `app.wiring` hands in the reader that answers it."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Protocol

import polars as pl

from models.core.payers import Statement
from models.core.quality import Quality
from models.core.queries import CallPage, CallQuery, CostQuery, Costs, Project, Status, TraceTree
from models.core.task_spread import TaskSpread
from models.costs.cache_report import CacheReport


class Reader(Protocol):
    """Read-only answers. Each call opens and closes its own transaction."""

    def projects(self) -> Sequence[Project]:
        """Every project the viewer may see, the default one first."""
        ...

    def status(self, projects: Sequence[int] | None = None) -> Status:
        """Freshness of the figures, of all projects unless some are named."""
        ...

    def costs(self, query: CostQuery) -> Costs:
        """Sums of cost and tokens per group; totals do not depend on the grouping."""
        ...

    def task_spread(self, query: CostQuery) -> TaskSpread:
        """How the tasks of a question by task spread over what they cost."""
        ...

    def calls(self, query: CallQuery) -> CallPage:
        """Billable calls, newest first."""
        ...

    def cache(self, query: CostQuery) -> CacheReport:
        """Cache figures by agent and model."""
        ...

    def quality(self, projects: Sequence[int], start: datetime, end: datetime) -> Quality:
        """How far the figures of a period can be trusted, with examples and what to change."""
        ...

    def trace(self, project_id: int, trace_id: bytes) -> TraceTree | None:
        """The span tree of one trace with self and inclusive cost, or None."""
        ...

    def recent_traces(self, project_id: int, start: datetime, end: datetime, limit: int) -> Sequence[TraceTree]:
        """The costliest traces of the period without their spans, for pickers."""
        ...

    def statement(
        self, projects: Sequence[int], month: date, by: str = "cost_center", most_charges: int | None = None
    ) -> Statement:
        """What each payer (cost centre or team) pays for a month, tied out to the ledger.

        Not tied out where that is more than `most_charges`: adding up millions takes seconds.
        """
        ...

    def daily_sums(self, projects: Sequence[int], month: date) -> Iterator[pl.DataFrame]:
        """Costs of a month for exports, one frame of models.costs.focus.DAILY_SUMS per day of usage."""
        ...


_reader: Reader | None = None
_load_sample: Callable[[], str] | None = None


def use_reader(reader: Reader, load_sample: Callable[[], str] | None = None) -> None:
    """Hand the reader to the pages; called once by the composition root.

    `load_sample` loads the bundled sample and returns the name of its project; without it the empty pages
    name the command instead of offering a button.
    """
    global _reader, _load_sample
    _reader = reader
    _load_sample = load_sample


def sample_loader() -> Callable[[], str] | None:
    """What loads the sample, or None."""
    return _load_sample


def current_reader() -> Reader:
    """The reader in force.

    Raises   RuntimeError when no composition root has handed one in.
    """
    if _reader is None:
        raise RuntimeError("no reader: dashboards.reader.use_reader() must be called before a page is drawn")
    return _reader
