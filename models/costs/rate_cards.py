"""Rate cards: rates laid out as cells of time, time of day and context band, so that a call falls into exactly one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl

from models.core.errors import JevonsError
from models.core.frames import PARTS, RATES, USD, UTC_US, checked
from models.core.money import EXACT, PER_MILLION, SCALE
from models.core.vocabulary import READ_FROM_CACHE, Bucket, PriceKind

CARD_KEYS = ("price_provider", "price_model", "tier", "region")
ANY_REGION = ""
US_PER_DAY = 86_400_000_000
FOREVER_US = 2**62
FINEST_PRICE = 9
"""Digits after the point of a price per million; then the price of one token still fits in scale 15 exactly."""

FALLBACKS: Mapping[str, tuple[str, str]] = {
    Bucket.REASONING: (Bucket.OUTPUT, "reasoning has no rate of its own: output rate"),
    Bucket.TOOL_USE_INPUT: (Bucket.INPUT, "tool_use_input has no rate of its own: input rate"),
    Bucket.CACHE_WRITE_UNKNOWN: (Bucket.CACHE_WRITE_5M, "cache lifetime not told: the provider's default write rate"),
}
"""Part → the part whose rate it takes where it has none, and the words that say so on the line. Cache reads are not
here: a missing cache rate is unknown, not the input rate."""

WITHOUT_CACHE: Mapping[str, tuple[str, ...]] = {
    Bucket.CACHE_READ: (Bucket.INPUT,),
    Bucket.CACHE_WRITE_5M: (Bucket.INPUT,),
    Bucket.CACHE_WRITE_1H: (Bucket.INPUT,),
    Bucket.CACHE_WRITE_UNKNOWN: (Bucket.INPUT,),
    **{cached: (fresh, Bucket.INPUT) for fresh, cached in READ_FROM_CACHE.items()},
}
"""Cached part → the parts whose rate it would have paid without a cache, first known first."""


class OverlappingRates(JevonsError):
    """Two rates of equal standing for one thing at one moment."""

    code = "overlapping_rates"
    status = 409

    def __init__(self, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
        super().__init__(
            f"rates {first['rate_id']} ({first['price_per_m'].normalize():f}) and {second['rate_id']} "
            f"({second['price_per_m'].normalize():f}) both price {first['bucket']} of {first['price_provider']} "
            f"{first['price_model']}, tier {first['tier']}, at the same time. End one before the other begins."
        )


class PriceTooFine(JevonsError):
    """A price with more digits than a cost can hold exactly."""

    code = "price_too_fine"
    status = 422

    def __init__(self, rate: Mapping[str, Any]) -> None:
        super().__init__(
            f"rate {rate['rate_id']}: {rate['price_per_m'].normalize():f} per million has more than {FINEST_PRICE} "
            "digits after the point. Round it to nine and say so in its source."
        )


@dataclass(slots=True, frozen=True)
class RateCards:
    """Cells, and per cell the unit price of every part.

    `cells`   card, CARD_KEYS, at_from/at_to and day_from/day_to (µs, half-open), band_from/band_to.
    `prices`  card and, per part, rate_, price_ (per million), unit_ (per token), billed_rate_, billed_price_,
              billed_unit_, plain_unit_ (per token without a cache) and assumption_. Null: no rate in force.
    """

    cells: pl.DataFrame
    prices: pl.DataFrame


MOST_KEPT = 64
_kept: dict[tuple[int, frozenset[tuple[str | None, str | None]]], tuple[pl.DataFrame, RateCards]] = {}


def cards_of(rates: pl.DataFrame, models: pl.DataFrame) -> RateCards:
    """The cards of some models out of many rates, laid out once for the same rates and models.

    Shapes   frames.RATES × distinct (price_provider, price_model) → RateCards of these models.
    Raises   as `lay_out`.
    """
    # By identity, with the frame kept beside its cards: while it is kept nothing else can have its id.
    key = (id(rates), frozenset(models.iter_rows()))
    found = _kept.get(key)
    if found is None:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        wanted = rates.join(models, on=["price_provider", "price_model"], how="semi")
        found = _kept[key] = (rates, lay_out(wanted))
    return found[1]


def lay_out(rates: pl.DataFrame) -> RateCards:
    """Lay rates out as cards; cells of one key never overlap and cover every moment in which a rate is in force.

    Shapes   frames.RATES (any order) → RateCards.
    Raises   FrameSchemaError; OverlappingRates where two rates of equal standing meet; PriceTooFine.
    Source   standing, highest first: contract before list for what is billed (after it for the list cost), priority,
             own region, own time of day, narrower context band.
    """
    checked(rates, "rates", RATES)
    cells: list[tuple[Any, ...]] = []
    prices: list[dict[str, Any]] = []
    by_key: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for rate in rates.select(list(RATES)).to_dicts():
        if not _fits(rate["price_per_m"]):
            raise PriceTooFine(rate)
        by_key.setdefault((rate["price_provider"], rate["price_model"], rate["tier"]), []).append(rate)
    for key, members in by_key.items():
        for region in sorted({rate["region"] or ANY_REGION for rate in members} | {ANY_REGION}):
            eligible = [rate for rate in members if (rate["region"] or ANY_REGION) in (region, ANY_REGION)]
            for bounds, active in _cells(eligible):
                cells.append((len(cells), *key, region, *bounds))
                prices.append(_card(len(prices), active))
    return RateCards(
        pl.DataFrame(cells, schema=_CELL_SCHEMA, orient="row"), pl.DataFrame(prices, schema=_price_schema())
    )


_CELL_SCHEMA = {
    "card": pl.Int64(),
    **dict.fromkeys(CARD_KEYS, pl.String()),
    **dict.fromkeys(("at_from", "at_to", "day_from", "day_to", "band_from", "band_to"), pl.Int64()),
}


def _price_schema() -> dict[str, pl.DataType]:
    schema: dict[str, pl.DataType] = {"card": pl.Int64()}
    for part in PARTS:
        schema |= {f"rate_{part}": pl.Int64(), f"billed_rate_{part}": pl.Int64(), f"assumption_{part}": pl.String()}
        money = ("price", "unit", "billed_price", "billed_unit", "plain_unit")
        schema |= {f"{name}_{part}": USD for name in money}
    return schema


def _fits(price: Decimal) -> bool:
    exponent = price.normalize().as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -FINEST_PRICE


def _micros(moment: datetime | None, open_end: int) -> int:
    if moment is None:
        return open_end
    return int(pl.Series([moment], dtype=UTC_US).dt.epoch("us")[0])


def _micros_of_day(moment: time) -> int:
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1_000_000 + moment.microsecond


def _in_day(rate: Mapping[str, Any], moment: int) -> bool:
    if rate["daily_start"] is None:
        return True
    start, end = _micros_of_day(rate["daily_start"]), _micros_of_day(rate["daily_end"])
    return start <= moment < end if start <= end else moment >= start or moment < end


def _cells(rates: list[dict[str, Any]]) -> Iterable[tuple[tuple[int, ...], list[dict[str, Any]]]]:
    periods = [(_micros(r["valid_from"], -FOREVER_US), _micros(r["valid_to"], FOREVER_US), r) for r in rates]
    moments = sorted({bound for start, end, _ in periods for bound in (start, end)})
    windows = [r for r in rates if r["daily_start"] is not None]
    days = sorted({0, US_PER_DAY} | {_micros_of_day(r[end]) for r in windows for end in ("daily_start", "daily_end")})
    bands = sorted({r["context_from"] for r in rates} | {0})
    for at_from, at_to in pairwise(moments):
        in_force = [r for start, end, r in periods if start <= at_from and at_to <= end]
        if not in_force:
            continue
        for day_from, day_to in pairwise(days):
            in_day = [r for r in in_force if _in_day(r, day_from)]
            for band_from, band_to in zip(bands, [*bands[1:], FOREVER_US], strict=True):
                active = [r for r in in_day if r["context_from"] <= band_from]
                if active:
                    yield (at_from, at_to, day_from, day_to, band_from, band_to), active


def _card(number: int, active: list[dict[str, Any]]) -> dict[str, Any]:
    by_part: dict[str, list[dict[str, Any]]] = {}
    for rate in active:
        by_part.setdefault(rate["bucket"], []).append(rate)
    listed = {part: _best(rates, PriceKind.LIST) for part, rates in by_part.items()}
    billed = {part: _best(rates, PriceKind.CONTRACT) for part, rates in by_part.items()}
    card: dict[str, Any] = {"card": number}
    for part in PARTS:
        source, assumption = part, None
        if part not in by_part and part in FALLBACKS and FALLBACKS[part][0] in by_part:
            source, assumption = FALLBACKS[part]
        if source not in by_part:
            continue
        card[f"assumption_{part}"] = assumption
        for prefix, rate in (("", listed[source]), ("billed_", billed[source])):
            card[f"{prefix}rate_{part}"] = rate["rate_id"]
            card[f"{prefix}price_{part}"] = rate["price_per_m"]
            card[f"{prefix}unit_{part}"] = _unit(rate)
        plain = next((p for p in WITHOUT_CACHE.get(part, (source,)) if p in by_part), None)
        card[f"plain_unit_{part}"] = _unit(billed[plain]) if plain else None
    return card


def _unit(rate: Mapping[str, Any]) -> Decimal:
    # Exact: the price has at most nine digits after the point, six more make fifteen.
    return EXACT.divide(rate["price_per_m"], PER_MILLION).quantize(Decimal(1).scaleb(-SCALE), context=EXACT)


def _best(rates: list[dict[str, Any]], preferred: PriceKind) -> dict[str, Any]:
    def standing(rate: Mapping[str, Any]) -> tuple[bool, int, bool, bool, int]:
        own_region, own_window = rate["region"] is not None, rate["daily_start"] is not None
        return (rate["kind"] == preferred, rate["priority"], own_region, own_window, rate["context_from"])

    ranked = sorted(rates, key=standing, reverse=True)
    if len(ranked) > 1 and standing(ranked[0]) == standing(ranked[1]):
        raise OverlappingRates(*sorted(ranked[:2], key=lambda rate: rate["rate_id"]))
    return ranked[0]
