"""The table of `jevons bench`: each figure beside its target, the share reached, and the limit of the same run."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Row:
    """One line of the table."""

    label: str
    figure: str
    """Name of the figure in `measure`."""
    target: float | None = None
    is_ceiling: bool = False
    """Whether less is better."""
    limit: str | None = None
    """Name of the figure that says what the machine allows at best, in the same unit."""


COPY = "limit: bare COPY {} a commit, rows/s"
DECODE = "limit: bare decode, CPU-s per 1,000"
ROWS: tuple[Row, ...] = (
    Row("burst, batch 512: durable spans/s", "batch 512: spans/s", 30_000, limit=COPY.format(512)),
    Row("burst, batch 64: durable spans/s", "batch 64: spans/s", 20_000, limit=COPY.format(64)),
    Row("burst, batch 1: durable spans/s", "batch 1: spans/s", 2_000, limit=COPY.format(1)),
    Row(
        "burst with 4 KB of content: durable spans/s",
        "4 KB content, batch 512: spans/s",
        15_000,
        limit=COPY.format(512),
    ),
    Row("sustained, flat lag, receive to priced: spans/s", "sustained: spans/s", 10_000, limit=COPY.format(64)),
    Row("  lag p95 at that rate, s", "sustained: lag p95 s"),
    Row("catch-up while nothing comes in: spans/s", "catch-up: spans/s"),
    Row("  catch-up as a multiple of sustained", "catch-up: × sustained", 3),
    Row("CPU-s per 1,000 spans, receive to commit", "batch 512: CPU-s per 1,000", 0.05, True, DECODE),
    Row("CPU-s per 1,000 spans, receive to priced and rolled up", "sustained: CPU-s per 1,000", 0.15, True, DECODE),
    Row("ack p50, batch 64, 8 connections, ms", "batch 64: ack p50 ms"),
    Row(
        "ack p99, batch 64, 8 connections, ms",
        "batch 64: ack p99 ms",
        80,
        True,
        "limit: bare COPY and commit of 64, p99 ms",
    ),
    Row("acknowledged to priced, p95 at 1,000 spans/s, s", "lag: acknowledged to priced p95 s", 3, True),
    Row("resident memory, API process, MB", "resident MB: api", 250, True),
    Row("resident memory, worker, MB", "resident MB: worker", 400, True),
    Row("  spans waiting at most meanwhile", "backlog: spans waiting"),
    Row(
        "costs by model, 1 M calls: p95 ms",
        "questions, 1 M: by model p95 ms",
        15,
        True,
        "limit, 1 M: plain SQL of the daily sums, p95 ms",
    ),
    Row(
        "costs, narrow groupings, 1 M calls: p95 ms",
        "questions, 1 M: narrow p95 ms",
        100,
        True,
        "limit, 1 M: plain SQL of the daily sums, p95 ms",
    ),
    Row("costs by task, 1 M calls: p95 ms", "questions, 1 M: by task p95 ms", 1000, True),
    Row("costs by session, 1 M calls: p95 ms", "questions, 1 M: by session p95 ms", 1000, True),
    Row("costs by user, 1 M calls: p95 ms", "questions, 1 M: by user p95 ms", 1000, True),
    Row("costs by tag, 1 M calls: p95 ms", "questions, 1 M: by tag p95 ms", 1000, True),
    Row("costs by model, 10 M calls: p95 ms", "questions, 10 M: by model p95 ms"),
    Row(
        "costs, narrow groupings, 10 M calls: p95 ms",
        "questions, 10 M: narrow p95 ms",
        100,
        True,
        "limit, 10 M: plain SQL of the daily sums, p95 ms",
    ),
    Row("costs by task, 10 M calls: p95 ms", "questions, 10 M: by task p95 ms", 1000, True),
    Row("costs by session, 10 M calls: p95 ms", "questions, 10 M: by session p95 ms", 1000, True),
    Row("costs by user, 10 M calls: p95 ms", "questions, 10 M: by user p95 ms", 1000, True),
    Row("costs by tag, 10 M calls: p95 ms", "questions, 10 M: by tag p95 ms", 1000, True),
    Row("rating: buckets/s per core", "rating: buckets/s", 3_000_000, limit="limit: bare join, rows/s"),
    Row("  genai-prices: buckets/s", "rating: genai-prices buckets/s"),
    Row("  LiteLLM: buckets/s", "litellm: buckets/s"),
    Row("re-price, dry run: s per 10 M charges (extrapolated)", "re-price: s per 10 M", 60, True),
    Row("  charges priced again in the run", "re-price: calls"),
    Row("cost error on the corpus, %", "corpus: error %", 0, True),
    Row("cost error on the 11 cost cases, %", "cost cases: error %", 0, True),
    Row("  with the usage repeated on the root, %", "cost cases, usage on the root too: error %", 0, True),
    Row("bytes per span, telemetry with indexes", "bytes per span, telemetry", 400, True),
    Row("  bytes per span, ledger (calls, charges, sums) with indexes", "bytes per span, ledger"),
    Row("  spans stored at that measurement", "spans stored"),
)
PEER_ROWS = (
    (512, "phoenix", 200.0),
    (512, "mlflow", 30.0),
    (64, "phoenix", None),
    (64, "mlflow", None),
)


def table(found: Mapping[str, float], machine: str) -> str:
    """The figures as a Markdown table, with the machine they were measured on; what was not measured is said so."""
    head = ["| what | measured | target | reached | of the limit |", "| --- | ---: | ---: | ---: | ---: |"]
    lines = [machine, "", *head, *(_line(row, found) for row in ROWS)]
    lines += ["", "Limits of this run: " + "; ".join(_limits(found)) + "."]
    peers = peer_table(found)
    return "\n".join([*lines, "", *peers] if peers else lines)


def peer_table(found: Mapping[str, float]) -> list[str]:
    """Lines of a table of the peers measured, with ratios; empty where there are none."""
    peers = [line for batch, peer, target in PEER_ROWS for line in _peer(found, batch, peer, target)]
    if not peers:
        return []
    return [
        "| peer, same requests, same run | durable spans/s | CPU-s per 1,000 | ack p99 ms | Jevons spans/s | CPU |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *peers,
    ]


def _line(row: Row, found: Mapping[str, float]) -> str:
    figure = found.get(row.figure)
    if figure is None:
        return f"| {row.label} | not measured | {_target(row)} | | |"
    share = ""
    if row.target is not None:
        share = _share(row, figure)
    against = ""
    if row.limit is not None and (limit := found.get(row.limit)):
        against = f"{figure / limit:.1f} ×" if row.is_ceiling else f"{figure / limit:.2f}"
    return f"| {row.label} | {short(figure)} | {_target(row)} | {share} | {against} |"


def _share(row: Row, figure: float) -> str:
    assert row.target is not None
    if row.target == 0:
        return "yes" if figure == 0 else "no"
    if figure == 0:
        return "0%"
    return f"{row.target / figure if row.is_ceiling else figure / row.target:.0%}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    return f"{'≤' if row.is_ceiling and row.target else '≥' if row.target else '='} {short(row.target)}"


def _limits(found: Mapping[str, float]) -> list[str]:
    return [
        f"{name.removeprefix('limit: ')} {short(figure)}" for name, figure in found.items() if name.startswith("limit")
    ]


def _peer(found: Mapping[str, float], batch: int, peer: str, target: float | None) -> list[str]:
    label = f"{peer}, batch {batch}"
    rate, cpu = found.get(f"{label}: spans/s"), found.get(f"{label}: CPU-s per 1,000")
    if not rate or not cpu:
        return []
    ours, our_cpu = found[f"batch {batch}: spans/s"], found[f"batch {batch}: CPU-s per 1,000"]
    wanted = f" (≥ {target:.0f} ×)" if target is not None else ""
    return [
        f"| {label} | {short(rate)} | {short(cpu)} | {short(found[f'{label}: ack p99 ms'])} "
        f"| {ours / rate:.0f} ×{wanted} | {cpu / our_cpu:.0f} × less |"
    ]


def short(figure: float) -> str:
    """A figure with three digits that count."""
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.3g}"
