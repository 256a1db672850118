"""Recorded runs on both sides of a price cut: what was paid before it to the printed digit, a fifth of it after."""

from collections import defaultdict
from decimal import Decimal

import polars as pl
import pytest

from app.demo_runs import RUNS, recorded_rows, spans_of_runs
from ingest.calls import derive_calls
from ingest.otlp import decode
from ingest.otlp_encode import trace_bodies
from ingest.otlp_values import AttributeReader
from ingest.redaction import Redactor
from models.core.frames import CALLS
from models.core.time import utc_of_ns
from models.core.vocabulary import Signal
from models.costs.rating import rate_calls
from models.prices.genai import shipped_rates
from models.prices.skus import with_price_keys

PUBLISHED = {"M-2": (45, 6_653, 146_085), "E-1": (45, 33_265, 210_681)}
"""Rows, input and output tokens as table B.5 of the study prints them."""


@pytest.fixture(scope="module")
def costs() -> dict[str, Decimal]:
    """What each run costs at the shipped prices of its day."""
    calls = derive_calls(list(spans_of_runs(recorded_rows()))).calls
    rows = [
        dict.fromkeys(CALLS)
        | {
            "project_id": 1,
            "origin_id": call.trace_id,
            "span_id": call.span_id,
            "at": utc_of_ns(call.end_ns),
            "provider": call.provider,
            "model": call.model,
            "input": call.tokens.input,
            "output": call.tokens.output,
            "reasoning": call.tokens.reasoning,
        }
        for call in calls
    ]
    charges = rate_calls(with_price_keys(pl.DataFrame(rows, schema=CALLS)).select(list(CALLS)), shipped_rates()).charges
    found: dict[str, Decimal] = defaultdict(Decimal)
    for call, cost in zip(calls, charges["list_cost"], strict=True):
        assert call.task is not None
        found[call.task.split("/")[0]] += cost
    return found


@pytest.mark.parametrize("run", PUBLISHED)
def test_the_table_holds_what_was_published(run: str) -> None:
    rows = [row for row in recorded_rows() if row["run"] == run]
    sums = tuple(sum(int(row[name]) for row in rows) for name in ("input_tokens", "output_tokens"))
    assert (len(rows), *sums) == PUBLISHED[run]


def test_before_the_cut_the_recorded_cost_is_reproduced(costs: dict[str, Decimal]) -> None:
    assert f"{costs['M-2']:.4f}" == RUNS["M-2"].recorded_cost == "5.9099"


@pytest.mark.parametrize(("run", "told"), [("E-1", "8.7599"), ("E-2", "8.9278")])
def test_after_the_cut_it_is_a_fifth_of_what_the_study_reckoned(costs: dict[str, Decimal], run: str, told: str) -> None:
    # The study's program still multiplied by 10 and 40 USD a million on 19 June; since the 10th the price was 2 and 8.
    assert f"{costs[run] * 5:.4f}" == RUNS[run].recorded_cost == told


def test_the_bill_falls_less_than_the_price(costs: dict[str, Decimal]) -> None:
    after = costs["E-1"] + costs["E-2"]
    assert after == Decimal("3.537532")
    assert Decimal("0.59") < after / costs["M-2"] < Decimal("0.60")


def test_a_sum_of_requests_says_so_and_stays_one_record() -> None:
    reader = AttributeReader(Redactor(b"key"))
    bodies = trace_bodies(spans_of_runs(recorded_rows()))
    kept = [span for body in bodies for span in decode(body, "protobuf", Signal.TRACES, reader=reader).spans]
    calls = derive_calls(kept).calls
    assert len(calls) == 135
    assert {call.session for call in calls} == {f"{name}-{run.name}" for name, run in RUNS.items()}
    assert len({call.task for call in calls}) == 135
    assert {call.agent for call in calls} == {"grant-locator"}
    assert {call.tags["record"] for call in calls} == {"sum-of-5-requests", "one-request"}
