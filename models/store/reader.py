"""The reader that pages and API ask: every answer in a read-only snapshot of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from importlib.metadata import version

import polars as pl
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from models.core.errors import JevonsError
from models.core.payers import Statement
from models.core.quality import Quality
from models.core.queries import CallPage, CallQuery, CostQuery, Costs, Project, Status, TraceTree
from models.core.running import Run, here
from models.core.task_spread import TaskSpread
from models.costs.cache_report import CacheReport
from models.costs.seen_calls import report_of
from models.store import cache_calls
from models.store.backlog import freshness
from models.store.cache_sums import calls_by_model, lines_by_model
from models.store.call_pages import answer_calls
from models.store.costs import answer_costs
from models.store.exports import daily_sums
from models.store.projects import list_projects
from models.store.quality import answer_quality
from models.store.statements import statement
from models.store.task_spread import task_spread
from models.store.telemetry import span_counts
from models.store.trees import costly_traces, trace_tree

ANSWER_SECONDS = 30
"""Longest statement of an answer: a question too broad must not hold up everybody else's."""
# Groups of a month of tasks fit, and are hashed instead of sorted on disk.
_LIMITS = f"SELECT set_config('statement_timeout', '{ANSWER_SECONDS}s', true), set_config('work_mem', '64MB', true)"
_CANCELED = "57014"


class TooBroad(JevonsError):
    """A question that takes longer to answer than anybody waits."""

    code = "too_broad"
    status = 503

    def __init__(self) -> None:
        super().__init__(
            f"the question was given up after {ANSWER_SECONDS} s. Ask for a shorter period, fewer dimensions, or "
            "filter by project, team or agent."
        )


class StoreReader:
    """Answers `dashboards.reader.Reader` from PostgreSQL."""

    def __init__(self, engine: Engine, currency: str = "USD", run: Run = here) -> None:
        self._engine = engine
        self._run = run
        self._currency = currency

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
            try:
                with connection.execution_options(**options).begin():
                    connection.execute(text(_LIMITS))
                    yield connection
            except OperationalError as failed:
                if getattr(failed.orig, "sqlstate", None) == _CANCELED:
                    raise TooBroad from failed
                raise

    def projects(self) -> Sequence[Project]:
        """Every project, the default one first, with the first and last day that has charges."""
        with self._snapshot() as connection:
            spans = {
                row.project_id: (row.first, row.last)
                for row in connection.execute(
                    text(
                        "SELECT p.id AS project_id, (SELECT min(r.period_start) FROM rollup_calls r "
                        "WHERE r.project_id = p.id AND r.grain = 'hour') AS first, (SELECT max(r.period_start) "
                        "FROM rollup_calls r WHERE r.project_id = p.id AND r.grain = 'hour') AS last FROM projects p"
                    )
                )
            }
            return [
                replace(project, first_charge=first, last_charge=last)
                for project in list_projects(connection)
                for first, last in [spans.get(project.id, (None, None))]
            ]

    def status(self, projects: Sequence[int] | None = None) -> Status:
        """How far the figures have come; over all projects unless some are named."""
        with self._snapshot() as connection:
            chosen = list(projects) if projects is not None else [each.id for each in list_projects(connection)]
            fresh = freshness(connection, chosen)
            calls = connection.execute(
                text(
                    "SELECT coalesce(sum(calls), 0) FROM rollup_calls WHERE grain = 'month' AND project_id = ANY(:ids)"
                ),
                {"ids": chosen},
            ).scalar_one()
            stored = sum(span_counts(connection, project_id).stored for project_id in chosen)
            waiting = fresh.waiting_since
            return Status(
                spans_stored=stored,
                spans_pending=fresh.spans_pending + fresh.calls_pending,
                calls=int(calls),
                lag_seconds=0.0 if waiting is None else max((fresh.now - waiting).total_seconds(), 0.0),
                priced_through=waiting or fresh.now,
                version=version("jevons"),
            )

    def costs(self, query: CostQuery) -> Costs:
        """Sums of cost and tokens per group; totals do not depend on the grouping."""
        with self._snapshot() as connection:
            answer = answer_costs(connection, query)
            fresh = freshness(connection, query.projects)
            return replace(answer, priced_through=fresh.waiting_since or fresh.now, currency=self._currency)

    def task_spread(self, query: CostQuery) -> TaskSpread:
        """How the tasks of the question spread over what they cost."""
        with self._snapshot() as connection:
            return task_spread(connection, query)

    def calls(self, query: CallQuery) -> CallPage:
        """Billable calls, newest first."""
        with self._snapshot() as connection:
            return answer_calls(connection, query)

    def cache(self, query: CostQuery) -> CacheReport:
        """Cache figures by agent and model.

        Money, tokens and numbers of calls are those of the whole period. Hit rates and what was written for nothing
        are those of its newest calls that used tokens, at most `cache_calls.MOST_CALLS`; `is_whole` says whether these
        are all. They are calculated after the snapshot, where `run` runs.
        """
        with self._snapshot() as connection:
            seen = cache_calls.newest_calls(connection, query)
            lines, counts = lines_by_model(connection, query), calls_by_model(connection, query)
        return self._run(report_of, seen, cache_calls.MOST_CALLS, lines, counts)

    def quality(self, projects: Sequence[int], start: datetime, end: datetime) -> Quality:
        """How far the figures of a period can be trusted, with examples and what to change."""
        with self._snapshot() as connection:
            return answer_quality(connection, projects, start, end)

    def trace(self, project_id: int, trace_id: bytes) -> TraceTree | None:
        """The span tree of one trace, or None."""
        with self._snapshot() as connection:
            return trace_tree(connection, project_id, trace_id)

    def recent_traces(self, project_id: int, start: datetime, end: datetime, limit: int) -> Sequence[TraceTree]:
        """The costliest traces of the period without their spans."""
        with self._snapshot() as connection:
            return costly_traces(connection, project_id, start, end, limit)

    def statement(
        self, projects: Sequence[int], month: date, by: str = "cost_center", most_charges: int | None = None
    ) -> Statement:
        """What each payer pays for a month, tied out to the ledger unless that is more than `most_charges`."""
        with self._snapshot() as connection:
            return statement(connection, projects, month, by, most_charges)

    def daily_sums(self, projects: Sequence[int], month: date) -> Iterator[pl.DataFrame]:
        """Costs of a month for exports, a frame of costs.focus.DAILY_SUMS per day of usage."""
        with self._snapshot() as connection:
            yield from daily_sums(connection, projects, month)
