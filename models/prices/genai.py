"""The shipped price list: genai-prices' package data laid out as dated rates."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import polars as pl
from genai_prices.data import providers
from genai_prices.types import (
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from models.core.frames import RATES, REQUESTS
from models.core.money import EXACT
from models.core.vocabulary import Bucket, Detail, PriceKind
from models.prices.books import rate_id

STANDARD = "standard"
PARTS_OF_KEY: Mapping[str, str] = {
    "input_mtok": Bucket.INPUT,
    "cache_read_mtok": Bucket.CACHE_READ,
    "cache_write_mtok": Bucket.CACHE_WRITE_5M,
    "cache_write_1h_mtok": Bucket.CACHE_WRITE_1H,
    "output_mtok": Bucket.OUTPUT,
    "output_reasoning_mtok": Bucket.REASONING,
    "input_audio_mtok": Detail.INPUT_AUDIO,
    "cache_audio_read_mtok": Detail.CACHE_READ_AUDIO,
    "output_audio_mtok": Detail.OUTPUT_AUDIO,
    "input_image_mtok": Detail.INPUT_IMAGE,
    "cache_image_read_mtok": Detail.CACHE_READ_IMAGE,
    "output_image_mtok": Detail.OUTPUT_IMAGE,
    "web_searches_kcount": Detail.WEB_SEARCH_REQUESTS,
    "requests_kcount": REQUESTS,
}
"""Price key of the package → the part it prices. Keys left out (video, characters, pages, hours) price units that
calls do not carry."""

WRITES_COST_INPUT: Mapping[str, str] = {
    "openai": "OpenAI bills cache writes as ordinary input (platform.openai.com/docs/guides/prompt-caching)",
    "azure": "Azure OpenAI bills cache writes as ordinary input (learn.microsoft.com, prompt caching)",
    "deepseek": "DeepSeek bills a cache miss as ordinary input (api-docs.deepseek.com/guides/kv_cache)",
}
"""Hosts that document that writing to the cache costs what input costs: the only case in which a missing cache rate
is taken from the input rate, and the rate says so."""

DAY = timedelta(days=1)
NINE_DIGITS = Decimal("1e-9")


class _Segment(NamedTuple):
    """Prices in force over a period, for the whole day or for a part of it."""

    start: date | None
    end: date | None
    window: TimeOfDateConstraint | None
    prices: ModelPrice


@cache
def shipped_rates() -> pl.DataFrame:
    """Every price of the installed genai-prices release as rates.

    Shapes   → frames.RATES, priority 0, kind list.
    Units    USD per million; prices per thousand are multiplied; beyond nine digits rounded half to even.
    Source   genai-prices (MIT); `source` names its release. Its first price of a model has no start date and so
             reaches back without end. A time-of-day price starts with the dated price that it follows in
             the list, where the package itself would apply it to all of the past.
    """
    rows = [row for provider in providers for model in provider.models for row in _rates_of(provider.id, model)]
    rows += [row for host in providers for row in _resold(host)]
    return pl.DataFrame(rows, schema=RATES, orient="row")


@cache
def release() -> str:
    """The name of the price list, such as `genai-prices 0.2.3`."""
    return f"genai-prices {version('genai-prices')}"


def _resold(host: Provider) -> Iterator[tuple[Any, ...]]:
    """Other makers' models that a host sells at the maker's standard price, where the list says that it does."""
    own = {model.id for model in host.models}
    for maker in (
        provider for name in host.fallback_model_providers or () for provider in providers if provider.id == name
    ):
        for model in maker.models:
            if model.id not in own:
                own.add(model.id)
                for segment in _segments(model):
                    yield from _rows(host.id, model.id, STANDARD, segment, f"; the price of {maker.id}")


def _rates_of(provider: str, model: ModelInfo) -> Iterator[tuple[Any, ...]]:
    segments = list(_segments(model))
    for segment in segments:
        yield from _rows(provider, model.id, STANDARD, segment)
    for tier, segment in _tiers(model, segments):
        yield from _rows(provider, model.id, tier, segment)


def _segments(model: ModelInfo) -> Iterator[_Segment]:
    if isinstance(model.prices, ModelPrice):
        yield _Segment(None, None, None, model.prices)
        return
    dated: list[tuple[date | None, ModelPrice, list[tuple[TimeOfDateConstraint, ModelPrice]]]] = []
    for conditional in model.prices:
        match conditional.constraint:
            case TimeOfDateConstraint() as window if dated:
                dated[-1][2].append((window, conditional.prices))
            case TimeOfDateConstraint():
                raise ValueError(f"{model.id}: a time-of-day price stands before any dated price")
            case StartDateConstraint() as start:
                dated.append((start.start_date, conditional.prices, []))
            case None:
                dated.append((None, conditional.prices, []))
    dated.sort(key=lambda entry: entry[0] or date.min)
    ends = [start for start, _, _ in dated[1:]]
    for (start, prices, windows), end in zip(dated, [*ends, None], strict=True):
        yield _Segment(start, end, None, prices)
        for window, window_prices in windows:
            yield _Segment(start, end, window, window_prices)


def _tiers(model: ModelInfo, segments: list[_Segment]) -> Iterator[tuple[str, _Segment]]:
    """Prices per tier: the standard ones with the tier's own laid over them, from the day the tier's begin."""
    variants: dict[str, list[PriceVariant]] = {}
    for variant in model.price_variants or ():
        tier = _tier(variant.when)
        if tier is not None and variant.prices.__dict__:
            variants.setdefault(tier, []).append(variant)
    for tier, members in variants.items():
        starts = sorted({_start(variant) for variant in members})
        for start, end in zip(starts, [*starts[1:], date.max], strict=True):
            own: dict[str, Any] = {}
            for variant in members:
                if _start(variant) <= start:
                    # The package resolves overrides first to last, each key on its own.
                    own = {**variant.prices.__dict__, **own}
            for segment in segments:
                low, high = max(start, segment.start or date.min), min(end, segment.end or date.max)
                if low < high:
                    prices = ModelPrice(**{**segment.prices.__dict__, **own})
                    first, last = (None if low == date.min else low), (None if high == date.max else high)
                    yield tier, _Segment(first, last, segment.window, prices)


def _tier(when: Mapping[str, str]) -> str | None:
    match dict(when):
        case {"processing": "batch", **rest} if not rest:
            return "batch"
        case {"service_tier": tier, **rest} if not rest and tier != "default":
            return tier
        case {"speed": "fast", **rest} if not rest:
            return "fast"
    return None


def _start(variant: PriceVariant) -> date:
    return variant.constraint.start_date if isinstance(variant.constraint, StartDateConstraint) else date.min


def _rows(provider: str, model: str, tier: str, segment: _Segment, note: str = "") -> Iterator[tuple[Any, ...]]:
    prices: dict[str, Decimal | TieredPrices] = {
        part: getattr(segment.prices, key)
        for key, part in PARTS_OF_KEY.items()
        if segment.prices.__dict__.get(key) is not None
    }
    sources = dict.fromkeys(prices, f"{release()}{note}")
    if provider in WRITES_COST_INPUT and Bucket.INPUT in prices and Bucket.CACHE_WRITE_5M not in prices:
        prices[Bucket.CACHE_WRITE_UNKNOWN] = prices[Bucket.INPUT]
        sources[Bucket.CACHE_WRITE_UNKNOWN] = f"{release()}{note}; {WRITES_COST_INPUT[provider]}"
    window = segment.window
    daily = (_utc(window.start_time), _utc(window.end_time)) if window else (None, None)
    scale = {Detail.WEB_SEARCH_REQUESTS: 1000, REQUESTS: 1000}
    for part, price in prices.items():
        bands = [(0, price)] if isinstance(price, Decimal) else [(0, price.base)]
        if isinstance(price, TieredPrices):
            # The package's tier applies above its start: the band begins one token later.
            bands += [(tier_.start + 1, tier_.price) for tier_ in price.tiers]
        for context_from, amount in bands:
            per_m = EXACT.quantize(EXACT.multiply(amount, Decimal(scale.get(part, 1))), NINE_DIGITS)
            key = (provider, model, str(part), tier, None, context_from)
            period = (_midnight(segment.start), _midnight(segment.end), *daily)
            number = rate_id(*key, *period, per_m)
            yield (number, PriceKind.LIST.value, 0, *key, per_m, *period, sources[part])


def _utc(moment: time) -> time:
    if moment.tzinfo is None:
        return moment
    return datetime.combine(date(1970, 1, 2), moment).astimezone(UTC).time()


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
