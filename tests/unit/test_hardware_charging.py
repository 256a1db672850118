"""An hour of capacity: calls, their lines and idle time are the bill, whatever the calls look like."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.core.hardware import Replica, Role
from models.costs.hardware_charging import COUNTS, USED_CALLS, Served, charge_hour
from models.costs.hardware_reconcile import BILLS
from models.prices.hardware_catalogue import shipped_catalogue

CATALOGUE = shipped_catalogue()
HOUR = datetime(2026, 11, 3, 10, tzinfo=UTC)
D = Decimal


def served(role: Role = Role.AGGREGATED, model: str = "llama-3.1-70b", chips: int = 2) -> Served:
    replica = Replica(
        accelerator=CATALOGUE.accelerators["h200_sxm"],
        architecture=CATALOGUE.architectures[model],
        chips=chips,
        precision="fp8",
    )
    return Served(replica=replica, concurrency=8, role=role)


def used(*calls: dict[str, int], deployment: str = "7") -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for n, counts in enumerate(calls):
        lines = {name: count for name, count in counts.items() if count}
        rows.append(
            dict.fromkeys(COUNTS)
            | {name: count for name, count in counts.items() if name in COUNTS}
            | {
                "project_id": 1,
                "origin_id": n.to_bytes(16, "big"),
                "span_id": n.to_bytes(8, "big"),
                "deployment": deployment,
                "hour": HOUR,
                "line_buckets": list(lines),
                "line_quantities": list(lines.values()),
            }
        )
    return pl.DataFrame(rows, schema=USED_CALLS)


def bill(cost: str | None = "4", deployment: str = "7") -> pl.DataFrame:
    return pl.DataFrame([(1, deployment, HOUR, 7200.0, None if cost is None else D(cost))], schema=BILLS, orient="row")


def test_fresh_tokens_carry_prefill_and_generated_ones_decode() -> None:
    shared = charge_hour(
        used({"input": 1000, "cache_read": 9000, "output": 300, "reasoning": 100}), bill(), {"7": served()}
    )
    call, hour = shared.calls.row(0, named=True), shared.hours.row(0, named=True)
    fresh, cached, output, reasoning = call["line_costs"]
    # Held in the accelerator's own memory, cached tokens occupy nothing by themselves.
    assert cached == 0
    assert fresh == hour["prefill_cost"]
    assert output + reasoning == hour["decode_cost"]
    assert abs(output - 3 * reasoning) < D("1e-12")
    assert fresh + output + reasoning == call["effective_cost"] == 4 - hour["idle_cost"]


def test_requests_occupy_nothing_and_audio_goes_with_its_bucket() -> None:
    counts = {"input": 1000, "output": 10, "input_audio": 1000, "web_search_requests": 3}
    call = charge_hour(used(counts), bill(), {"7": served()}).calls.row(0, named=True)
    text, _, audio, requests = call["line_costs"]
    assert requests == 0
    assert abs(text - audio) < D("1e-12")


@pytest.mark.parametrize(("role", "phase"), [(Role.PREFILL, "decode"), (Role.DECODE, "prefill")])
def test_a_deployment_of_one_phase_has_no_cost_of_the_other(role: Role, phase: str) -> None:
    hour = charge_hour(used({"input": 1000, "output": 500}), bill(), {"7": served(role)}).hours.row(0, named=True)
    assert hour[f"{phase}_cost"] == 0
    assert hour[f"{phase}_chip_seconds"] == 0
    assert hour["prefill_cost"] + hour["decode_cost"] + hour["idle_cost"] == 4


@pytest.mark.parametrize(
    ("calls", "bills", "deployments", "problem"),
    [
        pytest.param(used({}), bill(), {"7": served()}, "usage absent", id="no-counts"),
        pytest.param(
            used({"input": 1}), bill(deployment="8"), {"7": served()}, "no capacity was entered", id="no-hour"
        ),
        pytest.param(used({"input": 1}), bill(None), {"7": served()}, "no price of a chip-hour", id="no-price"),
        pytest.param(used({"input": 1}), bill(), {"7": "no model 'x'"}, "no model 'x'", id="not-in-the-catalogue"),
        pytest.param(
            used({"input": 1}), bill(), {"7": served(model="llama-3.1-405b", chips=1)}, "fit", id="does-not-fit"
        ),
    ],
)
def test_what_cannot_be_known_says_why_and_the_bill_stays_whole(
    calls: pl.DataFrame, bills: pl.DataFrame, deployments: dict[str, Served | str], problem: str
) -> None:
    shared = charge_hour(calls, bills, deployments)
    assert shared.calls["effective_cost"].to_list() == [None]
    assert problem in shared.calls["problem"][0]
    known = shared.hours.filter(pl.col("bill").is_not_null())
    assert known["idle_cost"].to_list() == known["bill"].to_list()


COUNT = st.one_of(st.none(), st.integers(0, 200_000))


@settings(max_examples=40, deadline=None)
@given(
    calls=st.lists(st.fixed_dictionaries(dict.fromkeys(COUNTS, COUNT)), min_size=1, max_size=12),
    cost=st.decimals(0, 10**6, places=15),
)
def test_lines_calls_and_idle_are_the_bill(calls: list[dict[str, Any]], cost: Decimal) -> None:
    shared = charge_hour(used(*calls), bill(str(cost)), {"7": served()})
    hour = shared.hours.row(0, named=True)
    total = hour["idle_cost"]
    for call in shared.calls.iter_rows(named=True):
        if call["effective_cost"] is not None:
            assert sum(call["line_costs"] or [], D(0)) == (call["effective_cost"] if call["line_costs"] else 0)
            total += call["effective_cost"]
    assert total == cost == hour["prefill_cost"] + hour["decode_cost"] + hour["idle_cost"]
