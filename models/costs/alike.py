"""Many calls that the same prices decide: one of their kind is rated, and its prices times their sums is what all cost.

Costs are linear in tokens as long as card, tier and the parts in use stay the same; so the sums are exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from models.core.frames import CALLS, REQUESTS
from models.core.money import EXACT
from models.core.vocabulary import BUCKETS, INPUT_BUCKETS
from models.costs.rating import Rated

Kind = tuple[str | None, str | None, frozenset[str] | None]
"""Provider, model and the buckets in use."""


@dataclass(slots=True, frozen=True)
class Alike:
    """Calls of one model, tier and region, in one cell of time and one context band, with the same parts in use."""

    provider: str | None
    model: str | None
    service_tier: str | None
    region: str | None
    at: datetime
    """A moment of their cell of time: no rate, daily window or UTC day begins or ends between two of them."""
    least_input: int
    """The least total input of their context band."""
    used: frozenset[str] | None
    """The buckets with a count above zero; the others are zero or not told. None: no count of any of them is told."""
    calls: int
    tokens: Mapping[str, int]
    """Per bucket the sum of what is told."""

    @property
    def kind(self) -> Kind:
        """What they are, whatever their tier, region, time and band."""
        return self.provider, self.model, self.used


@dataclass(slots=True, frozen=True)
class Lines:
    """What the lines of each of them say, in their order; None: as the list price, and nothing assumed, throughout."""

    buckets: tuple[str, ...]
    prices_per_m: tuple[Decimal | None, ...]
    billed_prices_per_m: tuple[Decimal | None, ...] | None
    assumptions: tuple[str | None, ...] | None


@dataclass(slots=True, frozen=True)
class RatedAlike:
    """What such calls cost together, in USD, scale 15; None: unknown for every one of them."""

    price_status: str
    unpriced_reason: str | None
    unpriced_tokens: int
    effective_cost: Decimal | None
    uncached_cost: Decimal | None
    lines: Lines


def stand_ins(groups: Sequence[Alike]) -> pl.DataFrame:
    """A call for each group that has what decides the price: the buckets it uses, and its band.

    Shapes   groups (n) → frames.CALLS without price keys (n rows), in their order.
    """
    counts = [_counts(group) for group in groups]
    told: dict[str, list[Any]] = {
        "origin_id": [number.to_bytes(8, "big") for number in range(len(groups))],
        "span_id": [b""] * len(groups),
        **{name: [getattr(group, name) for group in groups] for name in ("at", "provider", "model")},
        **{name: [getattr(group, name) for group in groups] for name in ("service_tier", "region")},
        **{bucket.value: [each.get(bucket) for each in counts] for bucket in BUCKETS},
    }
    unknown = [None] * len(groups)
    return pl.DataFrame([pl.Series(name, told.get(name, unknown), dtype=kind) for name, kind in CALLS.items()])


def multiplied_out(groups: Sequence[Alike], rated: Rated) -> list[RatedAlike]:
    """What all calls of each group cost, as its stand-in was rated.

    Shapes   groups (n) and their rated stand-ins → n, in their order.
    """
    lines: list[list[dict[str, Any]]] = [[] for _ in groups]
    for line in rated.lines.iter_rows(named=True):
        lines[int.from_bytes(line["origin_id"], "big")].append(line)
    charges = rated.charges.iter_rows(named=True)
    return [_multiplied(*each) for each in zip(groups, charges, lines, strict=True)]


def _counts(group: Alike) -> dict[str, int]:
    if group.used is None:
        return {}
    counts = {bucket.value: int(bucket in group.used) for bucket in BUCKETS}
    used = [bucket for bucket in INPUT_BUCKETS if bucket in group.used]
    if used:
        # All of them have at least this: a band that begins lower cannot end below it.
        counts[used[0]] += max(group.least_input - len(used), 0)
    return counts


def _multiplied(group: Alike, charge: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> RatedAlike:
    reason = charge["unpriced_reason"]
    return RatedAlike(
        charge["price_status"],
        reason,
        0 if reason is None else sum(group.tokens.values()),
        None if charge["effective_cost"] is None else _sum(group, lines, "effective_cost"),
        None if charge["cost_without_cache"] is None else _sum(group, lines, "cost_without_cache"),
        _lines(lines),
    )


def _sum(group: Alike, lines: Sequence[Mapping[str, Any]], cost: str) -> Decimal:
    total = Decimal(0)
    for line in lines:
        quantity = group.calls if line["bucket"] == REQUESTS else group.tokens[line["bucket"]]
        # The stand-in's cost is its quantity times the price of one token: the division leaves no remainder.
        product = EXACT.multiply(line[cost], Decimal(quantity))
        total = EXACT.add(total, EXACT.divide(product, Decimal(line["quantity"])))
    return total


def _lines(lines: Sequence[Mapping[str, Any]]) -> Lines:
    def column(name: str) -> tuple[Any, ...]:
        return tuple(line[name] for line in lines)

    prices, billed, assumed = column("price_per_m"), column("billed_price_per_m"), column("assumption")
    return Lines(column("bucket"), prices, None if billed == prices else billed, assumed if any(assumed) else None)
