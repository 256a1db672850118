"""A project's own price book: reading rates that people give, and adding them without overlap."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

from models.core.errors import BadInput, Conflict, NotFound
from models.core.frames import PARTS, RATES
from models.core.time import rfc3339
from models.core.vocabulary import PriceKind
from models.prices.skus import price_key

OWN = "own"
"""Name of the book that holds a project's own rates; one per project."""
OWN_PRIORITY = 10
"""Own rates stand above the shipped list, which has 0."""
REQUIRED = ("provider", "model", "bucket", "price_per_m")
FIELDS = (
    *REQUIRED,
    "kind",
    "tier",
    "region",
    "context_from",
    "valid_from",
    "valid_to",
    "daily_start",
    "daily_end",
    "source",
)
_SAME_THING = ("kind", "price_provider", "price_model", "bucket", "tier", "region", "context_from")
_PERIOD = ("valid_from", "valid_to", "daily_start", "daily_end")
_PAST, _FUTURE = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def rate_id(*facts: object) -> int:
    """The same rate has the same id in every process: a hash of what it says, in 63 bits."""
    digest = hashlib.blake2b(repr(facts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def own_rate(fields: Mapping[str, Any], position: str = "rate") -> dict[str, Any]:
    """One rate as people write it, as a row of frames.RATES.

    Shapes   FIELDS by name; provider and model as spans name them or as the price list does; times as RFC 3339 or
             a date (midnight UTC); daily times as HH:MM UTC.
    Units    USD per million of the bucket, at most nine digits after the point.
    Raises   BadInput naming every field that cannot be taken, and why.
    """
    errors: list[dict[str, str]] = []
    given = {name: value for name, value in fields.items() if value not in (None, "")}

    def take(name: str, read: Any, default: Any = None) -> Any:
        if name not in given:
            return default
        try:
            return read(given[name])
        except (ValueError, InvalidOperation) as wrong:
            errors.append({"field": name, "reason": str(wrong) or f"{given[name]!r} cannot be read"})
            return default

    errors += [{"field": name, "reason": "is missing"} for name in REQUIRED if name not in given]
    unknown = sorted(set(fields) - set(FIELDS))
    errors += [{"field": name, "reason": f"is unknown; there are {', '.join(FIELDS)}"} for name in unknown]
    key = price_key(str(given.get("provider", "?")), str(given.get("model", "?")))
    row = {
        "kind": take("kind", _one_of(tuple(PriceKind)), PriceKind.LIST.value),
        "priority": OWN_PRIORITY,
        "price_provider": key.provider,
        "price_model": key.model,
        "bucket": take("bucket", _one_of(PARTS)),
        "tier": take("tier", lambda value: str(value).lower(), "standard"),
        "region": take("region", str),
        "context_from": take("context_from", _count, 0),
        "price_per_m": take("price_per_m", _price),
        "valid_from": take("valid_from", _moment),
        "valid_to": take("valid_to", _moment),
        "daily_start": take("daily_start", _time_of_day),
        "daily_end": take("daily_end", _time_of_day),
        "source": take("source", str, "own price"),
    }
    if row["valid_from"] and row["valid_to"] and row["valid_from"] >= row["valid_to"]:
        errors.append({"field": "valid_to", "reason": "is not after valid_from"})
    if (row["daily_start"] is None) != (row["daily_end"] is None) or (
        row["daily_start"] is not None and row["daily_start"] == row["daily_end"]
    ):
        errors.append({"field": "daily_end", "reason": "daily_start and daily_end bound a part of the day together"})
    if errors:
        named = "; ".join(f"{error['field']}: {error['reason']}" for error in errors)
        raise BadInput(f"{position} cannot be taken: {named}", errors)
    return _numbered(row)


def with_rates(book: pl.DataFrame, added: Iterable[Mapping[str, Any]], end_previous: bool = False) -> pl.DataFrame:
    """A book with more rates; the same rate again changes nothing.

    Shapes   frames.RATES × rows of `own_rate` → frames.RATES.
    Raises   Conflict where a new rate and one that is there price the same thing at the same time. With
             `end_previous` a rate of the very same period is replaced, and one that began earlier and has no end is
             ended where the new one begins.
    """
    rows = {row["rate_id"]: row for row in book.select(list(RATES)).to_dicts()}
    # Only what stood before is corrected: of two prices given together for one period neither is the later word.
    before = set(rows)
    for new in added:
        if new["rate_id"] in rows:
            continue
        for old in [row for row in rows.values() if _overlap(row, new)]:
            corrects = old["rate_id"] in before and all(old[name] == new[name] for name in _PERIOD)
            begins_later = new["valid_from"] is not None and (old["valid_from"] or _PAST) < new["valid_from"]
            if not end_previous or not (corrects or (old["valid_to"] is None and begins_later)):
                raise Conflict(_told(old, new))
            del rows[old["rate_id"]]
            if not corrects:
                ended = _numbered({**old, "valid_to": new["valid_from"]})
                rows[ended["rate_id"]] = ended
        rows[new["rate_id"]] = dict(new)
    return pl.DataFrame(list(rows.values()), schema=RATES)


def without_rate(book: pl.DataFrame, unwanted: int) -> pl.DataFrame:
    """A book without one of its rates, by id.

    Shapes   frames.RATES → frames.RATES.
    Raises   NotFound where the book does not have it.
    """
    left = book.filter(pl.col("rate_id") != unwanted)
    if left.height == book.height:
        raise NotFound(f"there is no own price {unwanted}. `jevons prices list --own` shows them with their ids.")
    return left


def rates_of_file(name: str, content: bytes) -> list[dict[str, Any]]:
    """The rates of a CSV file with a header of FIELDS, or of a JSON list of objects with those names.

    Raises   BadInput naming the row and field.
    """
    try:
        text = content.decode("utf-8-sig")
        if name.lower().endswith(".json"):
            found = json.loads(text, parse_float=Decimal)
            rows = found["rates"] if isinstance(found, dict) else found
        else:
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, KeyError) as wrong:
        raise BadInput(f"{name} cannot be read: {wrong}. Give CSV with a header, or a JSON list.") from wrong
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"{name}: expected a list of rates, each with {', '.join(REQUIRED)}")
    return [own_rate({str(k): v for k, v in row.items()}, f"rate {n} of {name}") for n, row in enumerate(rows, start=1)]


def _numbered(row: dict[str, Any]) -> dict[str, Any]:
    # The database gives a price back with more zeros; it is still the same price.
    price = f"{row['price_per_m'].normalize():f}"
    facts = [str(row[name]) for name in RATES if name not in ("rate_id", "source", "price_per_m")]
    return {**row, "rate_id": rate_id(price, *facts)}


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if any(one[name] != other[name] for name in _SAME_THING):
        return False
    if (one["daily_start"] is None) != (other["daily_start"] is None):
        return False  # a time of day stands above the whole day
    starts, ends = (
        max(one["valid_from"] or _PAST, other["valid_from"] or _PAST),
        min(one["valid_to"] or _FUTURE, other["valid_to"] or _FUTURE),
    )
    if starts >= ends or one["daily_start"] is None:
        return starts < ends
    return bool(_minutes(one) & _minutes(other))


def _minutes(rate: Mapping[str, Any]) -> set[int]:
    first, last = (rate[name].hour * 60 + rate[name].minute for name in ("daily_start", "daily_end"))
    return set(range(first, last)) if first < last else set(range(first, 1440)) | set(range(last))


def _told(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    bounds = [rfc3339(old[name]) if old[name] else "open" for name in ("valid_from", "valid_to")]
    return (
        f"{new['bucket']} of {new['price_provider']} {new['price_model']} (tier {new['tier']}) already has the price "
        f"{old['price_per_m'].normalize():f} from {bounds[0]} to {bounds[1]}. "
        f"Remove it first (`jevons prices remove {old['rate_id']}`), or give the new price the same period or a later "
        "start, and ask for the previous one to be ended (`end_previous`)."
    )


def _one_of(words: tuple[str, ...]) -> Any:
    def read(value: object) -> str:
        if str(value) not in words:
            raise ValueError(f"{value!r} is none of {', '.join(words)}")
        return str(value)

    return read


def _price(value: object) -> Decimal:
    if isinstance(value, float):
        raise ValueError("is a binary float; write it as a string")
    price = Decimal(str(value))
    if not price.is_finite() or price < 0 or price >= Decimal(10) ** 11:
        raise ValueError(f"{value} is not between 0 and 10^11")
    exponent = price.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -9:
        raise ValueError(f"{value} has more than nine digits after the point")
    return price


def _count(value: object) -> int:
    count = int(str(value))
    if count < 0:
        raise ValueError(f"{value} is below zero")
    return count


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        moment = value
    elif len(str(value)) == 10:
        day = date.fromisoformat(str(value))
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    else:
        moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError(f"{value} has no time zone; end it with Z")
    return moment.astimezone(UTC)


def _time_of_day(value: object) -> time:
    moment = time.fromisoformat(str(value))
    if moment.second or moment.microsecond or moment.tzinfo:
        raise ValueError(f"{value} is not HH:MM in UTC")
    return moment
