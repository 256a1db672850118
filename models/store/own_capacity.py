"""Calls on hardware of one's own: found by the rules of deployments when they are priced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.vocabulary import BUCKETS, PriceStatus
from models.costs.hardware_matching import MatchRule, match_deployments
from models.store.interning import ATTRIBUTION, Interner
from models.store.ledger import digests

AWAITS = "its hour of capacity is not shared yet"
"""Why a call on own hardware has no cost: hours are shared when they are over."""


@dataclass(slots=True, frozen=True)
class Placement:
    """What of a deployment is needed to place calls on it."""

    deployment_id: int
    name: str
    accelerator: str
    rule: MatchRule


def placements(connection: Connection, project_id: int) -> Sequence[Placement]:
    """The deployments of a project with their rules, retired ones until they were retired."""
    rows = connection.execute(
        text(
            "SELECT deployment_id, name, accelerator, match_service, match_model, match_server_address, retired_at "
            "FROM deployments WHERE project_id = :project_id ORDER BY deployment_id"
        ),
        {"project_id": project_id},
    )
    return [
        Placement(
            row.deployment_id,
            row.name,
            row.accelerator,
            MatchRule(
                deployment=str(row.deployment_id),
                service=row.match_service,
                model=row.match_model,
                server_address=row.match_server_address,
                until=row.retired_at,
            ),
        )
        for row in rows
    ]


def place_charges(connection: Connection, project_id: int, rows: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    """Charges with those of calls on own hardware put on their deployment.

    Shapes   rows of `calls` and their charges (the same n, the same order) → n charges.
    Adds     deployment_id; null: a provider served. Where it is set, deployment and hardware join the attribution,
             list cost stays as rated (null where nobody lists a price), billed and effective cost are unknown until
             the hour is shared.
    """
    known = placements(connection, project_id)
    nowhere = pl.lit(None, dtype=pl.Int64).alias("deployment_id")
    if not known or rows.is_empty():
        return charges.with_columns(nowhere)
    ids: list[int] = rows["attribution_id"].unique().to_list()
    found = connection.execute(
        text(
            f"SELECT attribution_id, {', '.join(ATTRIBUTION)} FROM attributions "
            "WHERE project_id = :project_id AND attribution_id = ANY(:ids)"
        ),
        {"project_id": project_id, "ids": ids},
    ).all()
    services = {row.attribution_id: row.service for row in found}
    service = pl.col("attribution_id").replace_strict(services, default=None, return_dtype=pl.String).alias("service")
    matched = match_deployments(rows.with_columns(service), [each.rule for each in known])
    placed = charges.with_columns(matched["deployment"].cast(pl.Int64).alias("deployment_id"))
    if placed["deployment_id"].null_count() == placed.height:
        return placed
    own = _own(placed).with_columns(_attributions(connection, project_id, placed, known, found))
    # Only theirs: the digests of other charges may not depend on what is priced beside them.
    fresh = digests(own.drop("digest"))
    return own.with_columns(pl.when(pl.col("deployment_id").is_null()).then("digest").otherwise(fresh).alias("digest"))


def _own(placed: pl.DataFrame) -> pl.DataFrame:
    own = pl.col("deployment_id").is_not_null()
    tokens = pl.sum_horizontal(bucket.value for bucket in BUCKETS).cast(pl.Int64)
    unknown = ("billed_cost", "effective_cost", "uncached_cost", *COST_ARRAYS)
    changed = [
        pl.when(own).then(pl.lit(PriceStatus.UNPRICED.value)).otherwise("price_status").alias("price_status"),
        pl.when(own).then(pl.lit(AWAITS)).otherwise("unpriced_reason").alias("unpriced_reason"),
        pl.when(own).then(tokens).otherwise("unpriced_tokens").alias("unpriced_tokens"),
        *(pl.when(~own).then(pl.col(name)).alias(name) for name in unknown),
    ]
    return placed.with_columns(changed)


COST_ARRAYS = (
    "line_billed_rate_ids",
    "line_billed_prices_per_m",
    "line_billed_costs",
    "line_effective_costs",
    "line_uncached_costs",
)


def _attributions(
    connection: Connection, project_id: int, placed: pl.DataFrame, known: Sequence[Placement], found: Sequence[Any]
) -> pl.Series:
    """The attribution of each charge: that of its call, with deployment and hardware where it runs on one's own."""
    by_id = {each.deployment_id: each for each in known}
    facts = {row.attribution_id: row._mapping for row in found}
    interner = Interner()
    pairs = placed.select("attribution_id", "deployment_id").unique().drop_nulls()
    after: dict[tuple[int, int], int] = {}
    for attribution, deployment in pairs.iter_rows():
        values = {name: facts[attribution][name] for name in ATTRIBUTION}
        values |= {"deployment": by_id[deployment].name, "hardware": by_id[deployment].accelerator}
        after[attribution, deployment] = interner.intern(values)
    interner.write(connection, project_id)
    return pl.Series(
        "attribution_id",
        [
            after.get((attribution, deployment), attribution)
            for attribution, deployment in placed.select("attribution_id", "deployment_id").iter_rows()
        ],
        dtype=pl.Int64,
    )


def own_attribution(connection: Connection, project_id: int, name: str, accelerator: str) -> tuple[int, int]:
    """Attribution and unit of what belongs to a deployment and to no call: its idle time and its purchase."""
    interner = Interner()
    attribution = interner.intern({"deployment": name, "hardware": accelerator})
    unit = interner.nothing()
    interner.write(connection, project_id)
    return attribution, unit
