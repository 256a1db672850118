"""The `derive` task: spans of dirty link groups become calls, and calls become charges in the same transaction."""

import logging
from collections.abc import Iterable

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app import wiring
from app.hints import LOST_SECONDS
from app.tasks.loop import Few, until_empty
from app.tasks.pricing import charge_rows
from app.worker import celery
from ingest.calls import derive_calls
from ingest.metric_check import metric_days
from ingest.steps import worth_watching
from models.core.telemetry import Rejection
from models.store.allocations import allocate_calls
from models.store.calls import queue_unrated, replace_calls
from models.store.ledger import supersede_charges
from models.store.link_groups import claim_dirty_traces, clear_dirty, link_group, remember_large
from models.store.metric_days import keep_metric_days
from models.store.telemetry import load_spans, record_rejections
from models.store.watching import queue_watch

log = logging.getLogger(__name__)

BATCH_TRACES = 1_000
"""Traces of one transaction: enough that a statement's cost is shared, few enough that a worker's memory is flat."""

FEW_TRACES = 500
FEW_SPANS = 5_000
"""A batch has a price of about a tenth of a second, as much as a thousand spans: fewer than this are worth a wait."""


@celery.task(name="derive", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def derive() -> int:
    """Derive and price until few dirty traces are left or the time box ends; returns how many marks were worked off.

    Delivered at least once, effective once: the dirty mark is cleared in the transaction that writes the outcome.
    """
    done = until_empty("derive", lambda connection: derive_batch(connection, BATCH_TRACES))
    if done:
        wiring.current().hint("watch")
        wiring.current().hint("count")
    return done


def derive_batch(connection: Connection, limit: int) -> int:
    """Claim up to `limit` dirty marks and make calls and charges of their link groups what their spans say."""
    claimed = claim_dirty_traces(connection, limit)
    is_few = len(claimed) < FEW_TRACES and sum(claim.spans for claim in claimed) < FEW_SPANS
    if claimed and is_few:
        # Another worker would find still less.
        wiring.current().rest("derive", LOST_SECONDS)
    by_project: dict[int, set[bytes]] = {}
    for claim in claimed:
        by_project.setdefault(claim.project_id, set()).add(claim.trace_id)
    for project_id in sorted(by_project):
        derive_groups(connection, project_id, link_group(connection, project_id, by_project[project_id]))
    clear_dirty(connection, claimed)
    return Few(len(claimed)) if is_few else len(claimed)


def derive_groups(connection: Connection, project_id: int, trace_ids: Iterable[bytes]) -> None:
    """Derive locked link groups. What fails is halved until one trace is left, which becomes a rejection."""
    traces = sorted(trace_ids)
    try:
        with connection.begin_nested():
            _derive(connection, project_id, traces)
    except OperationalError:
        raise
    except Exception as fault:
        if len(traces) == 1:
            log.exception("trace %s cannot be derived", traces[0].hex())
            reason = f"no calls could be derived from this trace: {type(fault).__name__}: {fault}"[:2000]
            rejection = Rejection(position="derivation", reason=reason, trace_id=traces[0])
            record_rejections(connection, project_id, [rejection])
            return
        for half in _halves(connection, project_id, traces):
            derive_groups(connection, project_id, half)


def _halves(connection: Connection, project_id: int, traces: list[bytes]) -> list[list[bytes]]:
    """Two parts that tear no link group apart, while there is more than one group; then single traces."""
    first = link_group(connection, project_id, traces[:1])
    rest = [trace for trace in traces if trace not in first]
    if not rest:
        return [[trace] for trace in traces]
    left = set(first)
    for trace in rest:
        if len(left) * 2 >= len(traces):
            break
        left |= link_group(connection, project_id, [trace])
    right = [trace for trace in traces if trace not in left]
    return [sorted(left), right] if right else [sorted(first), rest]


def _derive(connection: Connection, project_id: int, traces: list[bytes]) -> None:
    spans = load_spans(connection, project_id, traces)
    derivation = derive_calls(spans)
    remember_large(connection, project_id, [span.trace_id for span in spans])
    keep_metric_days(connection, project_id, metric_days(spans))
    replaced = replace_calls(connection, project_id, traces, derivation)
    supersede_charges(connection, project_id, replaced.withdrawn)
    allocate_calls(connection, project_id, replaced.withdrawn)
    queue_watch(connection, project_id, worth_watching(spans, derivation.calls))
    if derivation.rejections:
        record_rejections(connection, project_id, derivation.rejections)
    if replaced.changed.is_empty():
        return
    try:
        with connection.begin_nested():
            charge_rows(connection, project_id, replaced.changed)
    except OperationalError:
        raise
    except Exception:
        # Prices that contradict one another must not stop the counting: these calls wait for `rate`.
        log.exception("%d calls could not be priced and wait", replaced.changed.height)
        keys = list(zip(replaced.changed["trace_id"], replaced.changed["span_id"], strict=True))
        queue_unrated(connection, project_id, keys)
