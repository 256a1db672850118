"""Column contracts of the frames that pricing works on, and sums that keep unknown apart from zero."""

import polars as pl

from models.core.errors import FrameSchemaError
from models.core.money import SCALE
from models.core.vocabulary import BUCKETS, Bucket, Detail

Schema = dict[str, pl.DataType | type[pl.DataType]]

USD = pl.Decimal(38, SCALE)
"""Money in a frame; never Float."""
UTC_US = pl.Datetime("us", "UTC")

REQUESTS = "requests"
"""A fee per request, beside the tokens: the priced part whose quantity is one for each call that used tokens."""
PARTS: tuple[str, ...] = (*BUCKETS, *Detail, REQUESTS)
"""Everything that can have a rate: the buckets, the details, the request itself."""

CALL_KEYS: Schema = {"project_id": pl.Int64(), "origin_id": pl.Binary(), "span_id": pl.Binary()}

CALLS: Schema = {
    **CALL_KEYS,
    "at": UTC_US,
    "provider": pl.String(),
    "model": pl.String(),
    "price_provider": pl.String(),
    "price_model": pl.String(),
    "price_reason": pl.String(),
    "service_tier": pl.String(),
    "region": pl.String(),
    **{bucket.value: pl.Int64() for bucket in Bucket},
    **{detail.value: pl.Int64() for detail in Detail},
}
"""Calls to be rated. `at` is the end of the span; `price_provider` and `price_model` name the rates to look up and
are null, with `price_reason`, where none could be named; counts are null where the payload does not tell."""

RATES: Schema = {
    "rate_id": pl.Int64(),
    "kind": pl.String(),
    "priority": pl.Int64(),
    "price_provider": pl.String(),
    "price_model": pl.String(),
    "bucket": pl.String(),
    "tier": pl.String(),
    "region": pl.String(),
    "context_from": pl.Int64(),
    "price_per_m": USD,
    "valid_from": UTC_US,
    "valid_to": UTC_US,
    "daily_start": pl.Time(),
    "daily_end": pl.Time(),
    "source": pl.String(),
}
"""Rates: USD per million of `bucket` (one of PARTS), at most nine digits after the point, over the half-open period
[valid_from, valid_to); null bounds are open. `kind` is list or contract; of two rates for one thing the higher
`priority` wins, equal ones may not overlap. `tier` is never null (`standard`); null `region` means every region.
`context_from` is the smallest total input of the context band. `daily_start`/`daily_end` bound a half-open UTC time
of day (it may pass midnight) and beat a rate without one; both are null for the whole day."""

COSTS: Schema = {"list_cost": USD, "billed_cost": USD, "effective_cost": USD, "cost_without_cache": USD}

CHARGES: Schema = {
    **CALL_KEYS,
    **COSTS,
    "price_status": pl.String(),
    "unpriced_reason": pl.String(),
    "unpriced_tokens": pl.Int64(),
}
"""One row per call, in the order of the calls. List, billed and effective cost are null together, with the reason;
`unpriced_tokens` is then what the call used, and 0 otherwise. `cost_without_cache` is the effective cost had every
cached token been plain input; it is also null where the input rate is unknown."""

LINES: Schema = {
    **CALL_KEYS,
    "bucket": pl.String(),
    "quantity": pl.Int64(),
    "rate_id": pl.Int64(),
    "price_per_m": USD,
    "billed_rate_id": pl.Int64(),
    "billed_price_per_m": USD,
    **COSTS,
    "assumption": pl.String(),
}
"""One row per call and part with a quantity above zero, part by part; a bucket's quantity leaves out the details that
have a rate of their own. The lines of a call sum to its charge and have no cost where the charge has none.
`assumption` says when a part was priced at another part's rate."""


def known_sum(column: str) -> pl.Expr:
    """Sum that is null when nothing is known. Polars' own sum of nulls is 0, which would make unknown free."""
    known = pl.col(column).is_not_null()
    return pl.when(known.any()).then(pl.col(column).sum()).otherwise(None).alias(column)


def checked(frame: pl.DataFrame, name: str, schema: Schema) -> pl.DataFrame:
    """The frame itself when it has every column of the contract with its type.

    Raises   FrameSchemaError naming each missing or mistyped column.
    """
    problems = [f"column {column} is missing" for column in schema if column not in frame.columns]
    problems += [
        f"column {column} is {frame.schema[column]}, not {kind}"
        for column, kind in schema.items()
        if column in frame.columns and frame.schema[column] != kind
    ]
    if problems:
        raise FrameSchemaError(name, problems)
    return frame
