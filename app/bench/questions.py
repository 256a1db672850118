"""How long `/api/v1/costs` takes over HTTP, by what is asked, on ledgers of one and ten million calls."""

import statistics
import time
from datetime import timedelta

from app.bench import made_ledger
from app.bench.instance import Instance, Say

NARROW: dict[str, dict[str, str]] = {
    "totals": {},
    "by model": {"group_by": "model"},
    "by team and model": {"group_by": "team,model"},
    "by agent and model": {"group_by": "agent,model"},
    "by agent and day": {"group_by": "agent", "granularity": "day"},
    "by model, one team": {"group_by": "model", "filter": "team:team 3"},
}
WIDE: dict[str, dict[str, str]] = {
    "by task": {"group_by": "task"},
    "by session": {"group_by": "session"},
    "by user": {"group_by": "user"},
    "by tag": {"group_by": "tag:feature"},
}


def ask(instance: Instance, question: dict[str, str], repeats: int) -> list[float]:
    """Milliseconds of each asking, sorted, after one that warms up. The period's end differs each time: nothing of it
    can be a kept answer."""
    took: list[float] = []
    end = made_ledger.END
    for number in range(repeats + 1):
        until = end + timedelta(days=number % 20, minutes=number // 20)
        began = time.perf_counter()
        instance.get("/api/v1/costs", start=made_ledger.START.isoformat(), end=until.isoformat(), limit=100, **question)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took[1:])


def measure_questions(instance: Instance, calls: int, already: int, repeats: int, say: Say) -> dict[str, float]:
    """p50 and p95 in ms of every question on a month of `calls` calls, and the limit of the same database beside them.

    `already` of the calls were made for an earlier size.
    """
    label = f"{calls // 1_000_000} M" if calls >= 1_000_000 else f"{calls // 1000} k"
    seconds = made_ledger.fill(instance.database_url, calls, already)
    say(f"a month of {label} calls made in {seconds:.0f} s")
    found: dict[str, float] = {}
    narrow: list[float] = []
    for questions, times in ((NARROW, repeats), (WIDE, max(5, repeats // 3))):
        for name, question in questions.items():
            took = ask(instance, question, times)
            found[f"questions, {label}: {name} p50 ms"] = statistics.median(took)
            found[f"questions, {label}: {name} p95 ms"] = took[int(len(took) * 0.95)]
            if questions is NARROW:
                narrow += took
    found[f"questions, {label}: narrow p95 ms"] = sorted(narrow)[int(len(narrow) * 0.95)]
    found[f"questions, {label}: widest p95 ms"] = max(found[f"questions, {label}: {name} p95 ms"] for name in WIDE)
    found[f"limit, {label}: plain SQL of the daily sums, p95 ms"] = made_ledger.plain_sql_ms(
        instance.database_url, repeats
    )
    return found
