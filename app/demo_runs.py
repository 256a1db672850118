"""Recorded runs of one agent on both sides of a price cut, read from the sample's table as GenAI spans."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.core.telemetry import Span
from models.core.time import ns_of_utc

RECORDED = Path(__file__).parent / "sample" / "land_grant_runs.csv"
SCOPE_NAME = "jevons.import.land-grants"
AGENT = "grant-locator"
SERVICE = "land-grant-benchmark (imported)"
NS_PER_S = 1_000_000_000


@dataclass(slots=True, frozen=True)
class Run:
    """What is known of a whole run and stands in no row of the table."""

    name: str
    ended: datetime
    """When its report was written. A row tells how long it took, not when, so all rows of a run end here."""
    requests: int
    """Requests to the model that one row is the sum of."""
    recorded_cost: str
    """USD as the run's own report prints it."""


RUNS: Mapping[str, Run] = {
    "M-2": Run("one-answer", datetime(2025, 5, 6, 0, 54, 10, tzinfo=UTC), 1, "5.9099"),
    "E-1": Run("five-answers", datetime(2025, 6, 19, 19, 32, 32, tzinfo=UTC), 5, "8.7599"),
    "E-2": Run("five-answers-names-hidden", datetime(2025, 6, 19, 19, 32, 32, tzinfo=UTC), 5, "8.9278"),
}


def spans_of_runs(rows: Iterable[Mapping[str, str]]) -> Iterator[Span]:
    """The recorded rows as spans.

    Shapes   a row per land grant and run → an agent span and, below it, one `chat` span with the row's usage.
    Units    tokens as recorded: input has no cached part, output contains the reasoning. Where a run asked the model
             several times, the row is the sum of those requests and stays one record: how it was split is not known.
    """
    for row in rows:
        run = RUNS[row["run"]]
        end_ns = ns_of_utc(run.ended)
        start_ns = end_ns - round(float(row["latency_s"]) * NS_PER_S)
        trace_id, root_id = _id(16, row["run"], row["grant"]), _id(8, row["run"], row["grant"], "root")
        common = {
            "gen_ai.agent.name": AGENT,
            "gen_ai.conversation.id": f"{row['run']}-{run.name}",
            "task.id": f"{row['run']}/grant-{int(row['grant']):02d}",
        }
        usage = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": row["model"],
            "gen_ai.response.model": row["model"],
            "gen_ai.usage.input_tokens": int(row["input_tokens"]),
            "gen_ai.usage.output_tokens": int(row["output_tokens"]),
            "gen_ai.usage.reasoning.output_tokens": int(row["reasoning_tokens"]),
            "baggage.record": f"sum-of-{run.requests}-requests" if run.requests > 1 else "one-request",
        }
        calls = "chat" if run.requests == 1 else f"chat, sum of {run.requests}"
        yield _span(trace_id, root_id, None, f"invoke_agent {AGENT}", start_ns, end_ns, 1, common)
        yield _span(
            trace_id, _id(8, row["run"], row["grant"]), root_id, f"{calls} {row['model']}",
            start_ns, end_ns, 3, {**common, **usage},
        )  # fmt: skip


def recorded_rows() -> list[dict[str, str]]:
    """The rows of the sample's table."""
    with RECORDED.open(newline="") as file:
        return list(csv.DictReader(file))


def _span(
    trace_id: bytes, span_id: bytes, parent: bytes | None, name: str,
    start_ns: int, end_ns: int, kind: int, attributes: Mapping[str, object],
) -> Span:  # fmt: skip
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        name=name,
        kind=kind,
        start_ns=start_ns,
        end_ns=end_ns,
        status="ok",
        scope_name=SCOPE_NAME,
        resource=_RESOURCE,
        attributes={"gen_ai.operation.name": "invoke_agent", **attributes},
    )


_RESOURCE = {"service.name": SERVICE}


def _id(size: int, *parts: str) -> bytes:
    """An id derived from what the row is about, so that the table read twice is once."""
    return hashlib.sha256("\x1f".join(("land-grants", *parts)).encode()).digest()[:size]
