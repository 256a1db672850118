"""The table of `jevons bench`: each figure beside its target and the share of it that was reached."""

from collections.abc import Mapping, Sequence
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


ROWS: tuple[Row, ...] = (
    Row("burst, batch 512: durable spans/s", "batch 512: spans/s", 30_000),
    Row("burst, batch 64: durable spans/s", "batch 64: spans/s", 20_000),
    Row("burst, batch 1: durable spans/s", "batch 1: spans/s", 2_000),
    Row("burst with 4 KB of content: durable spans/s", "4 KB content, batch 512: spans/s", 15_000),
    Row("CPU-s per 1,000 spans, receive to commit", "batch 512: CPU-s per 1,000", 0.05, is_ceiling=True),
    Row("CPU-s per 1,000 spans, receive to priced and rolled up", "sustained: CPU-s per 1,000", 0.15, is_ceiling=True),
    Row("sustained, receive to priced: spans/s", "sustained: spans/s", 10_000),
    Row("catch-up while nothing comes in: spans/s", "catch-up: spans/s", 30_000),
    Row("ack p50, batch 64, 8 connections, ms", "batch 64: ack p50 ms"),
    Row("ack p99, batch 64, 8 connections, ms", "batch 64: ack p99 ms", 80, is_ceiling=True),
    Row("acknowledged to priced, p95 at 1,000 spans/s, s", "lag: acknowledged to priced p95 s", 3, is_ceiling=True),
    Row("resident memory, API process, MB", "resident MB: api", 250, is_ceiling=True),
    Row("resident memory, worker, MB", "resident MB: worker", 400, is_ceiling=True),
    Row("/api/v1/costs by model, p95 ms", "questions: by model p95 ms", 15, is_ceiling=True),
    Row("/api/v1/costs by session, p95 ms", "questions: by session p95 ms", 1000, is_ceiling=True),
    Row("  calls in the ledger at these questions", "questions: calls in the ledger"),
    Row("rating: buckets/s", "rating: buckets/s", 3_000_000),
    Row("  genai-prices in the same run: buckets/s", "rating: genai-prices buckets/s"),
    Row("bytes per span with indexes", "bytes per span", 400, is_ceiling=True),
    Row("limit: bare decode, spans per CPU-s", "limit: bare decode, spans per CPU-s"),
    Row("limit: bare COPY, rows/s", "limit: bare COPY, rows/s"),
)


def table(found: Mapping[str, float], machine: str) -> str:
    """The figures as a Markdown table, with the machine they were measured on."""
    figures = dict(found)
    figures["bytes per span"] = sum(size for name, size in found.items() if name.startswith("bytes per span: "))
    lines = [machine, "", "| what | measured | target | reached |", "| --- | ---: | ---: | ---: |"]
    lines += [_line(row, figures[row.figure]) for row in ROWS]
    return "\n".join([*lines, "", *_ratios(figures)])


def _line(row: Row, figure: float) -> str:
    if row.target is None:
        return f"| {row.label} | {_short(figure)} | | |"
    share = row.target / figure if row.is_ceiling else figure / row.target
    sign = "≤" if row.is_ceiling else "≥"
    return f"| {row.label} | {_short(figure)} | {sign} {_short(row.target)} | {share:.0%} |"


def _ratios(figures: Mapping[str, float]) -> Sequence[str]:
    decode = 1000 / figures["limit: bare decode, spans per CPU-s"]
    return (
        f"Receive to commit costs {figures['batch 512: CPU-s per 1,000'] / decode:.1f} × the bare decode; "
        f"the burst reaches {figures['batch 512: spans/s'] / figures['limit: bare COPY, rows/s']:.2f} × the bare COPY; "
        f"rating is {figures['rating: buckets/s'] / figures['rating: genai-prices buckets/s']:.0f} × genai-prices.",
    )


def _short(figure: float) -> str:
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.3g}"
