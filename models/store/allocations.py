"""Shares of billed requests in the ledger: each agent's part as a charge of its own, beside one that takes it off.

The pair sums to nothing, so that no total changes; sums by agent hold the shares. Team, cost centre and everything
else of the call stay with every part.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.core.errors import NothingToSplitBy
from models.core.frames import USD, Schema
from models.core.money import plain
from models.core.vocabulary import BUCKETS, ChargeClass, PriceStatus
from models.costs.sharing import Outputs, share_lines, sharing_weights
from models.store.allocation_rules import AllocationRule, attributions_met, list_allocation_rules, rules_for
from models.store.bulk import copy_frame
from models.store.closed_months import closed_months, enter_ledger
from models.store.interning import ATTRIBUTION, Interner
from models.store.ledger import digests, record_charges, supersede_charges

Key = tuple[bytes, bytes]
BASES = ("list_cost", "billed_cost", "effective_cost")
_CHARGES: Schema = {
    "project_id": pl.Int64(),
    "month": pl.Date(),
    "origin_id": pl.Binary(),
    "span_id": pl.Binary(),
    "charge_class": pl.String(),
    "end_at": pl.Datetime("us", "UTC"),
    "is_error": pl.Boolean(),
    "attribution_id": pl.Int64(),
    "unit_id": pl.Int64(),
    "price_status": pl.String(),
    "unpriced_reason": pl.String(),
    **dict.fromkeys(BASES, USD),
    "unpriced_tokens": pl.Int64(),
    "line_buckets": pl.String(),
    "line_quantities": pl.String(),
    "line_rate_ids": pl.String(),
    "line_prices_per_m": pl.String(),
    "line_list_costs": pl.String(),
    "line_billed_costs": pl.String(),
    "line_effective_costs": pl.String(),
    **{bucket.value: pl.Int64() for bucket in BUCKETS},
}
_SHARES: Schema = {
    "project_id": pl.Int64(),
    "origin_id": pl.Binary(),
    "span_id": pl.Binary(),
    "rule_id": pl.Int64(),
    "agent": pl.String(),
    "month": pl.Date(),
    "end_at": pl.Datetime("us", "UTC"),
    "position": pl.Int64(),
    "rule": pl.String(),
    "method": pl.String(),
    "weight": USD,
    **dict.fromkeys(BASES, USD),
}


@dataclass(slots=True, frozen=True)
class Allocated:
    """What sharing some calls did."""

    shared: int = 0
    """Calls that are shared now."""
    not_shared: int = 0
    """Calls that a rule meets and that name no agents, or not the output it asks for: they keep their cost."""
    changed: int = 0
    """Charges added."""


def allocate_calls(connection: Connection, project_id: int, keys: Collection[Key]) -> Allocated:
    """Make the shares of these calls what their charges and the rules in force say; closed months keep theirs.

    The caller holds the locks of the link groups. Safe to repeat: the key (rule, charge, agent) gives each share one
    origin, uq_charges_live one live charge per origin, and what is equal is not written.
    """
    if not keys:
        return Allocated()
    rules = list_allocation_rules(connection, project_id)
    asked = {"project_id": project_id, "origins": [key[0] for key in keys], "spans": [key[1] for key in keys]}
    before = _before(connection, asked)
    if not rules and not before:
        return Allocated()
    enter_ledger(connection, project_id)
    closed = closed_months(connection, project_id)
    before = [row for row in before if row.month not in closed]
    calls = [row for row in _calls(connection, asked) if row["month"] not in closed] if rules else []
    interner = Interner()
    by_id = {rule.rule_id: rule for rule in rules}
    charges: list[dict[str, Any]] = []
    shares: list[dict[str, Any]] = []
    shared = not_shared = 0
    for call, rule_id in zip(calls, rules_for(calls, rules), strict=True):
        if rule_id is None:
            continue
        made = _shared(project_id, call, by_id[rule_id], interner)
        shared, not_shared = shared + bool(made), not_shared + (not made)
        for charge, share in made:
            charges.append(charge)
            if share is not None:
                shares.append(share)
    interner.write(connection, project_id)
    frame = pl.DataFrame(charges, schema=_CHARGES)
    recorded = record_charges(connection, project_id, frame.with_columns(digests(frame)))
    wanted = {charge["origin_id"] for charge in charges}
    stale = {(origin, b"") for origin in _origins(project_id, before)} - {(origin, b"") for origin in wanted}
    supersede_charges(connection, project_id, sorted(stale))
    _keep(connection, asked, closed, shares)
    return Allocated(shared, not_shared, recorded.added)


def _shared(
    project_id: int, call: Mapping[str, Any], rule: AllocationRule, interner: Interner
) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The charges of one call under a rule, each share with its row; the first takes the whole off."""
    outputs: Outputs = dict.fromkeys(rule.agents) if rule.agents is not None else dict(call["agents"] or ())
    try:
        weights = sharing_weights(outputs, rule.method)
    except NothingToSplitBy:
        return []
    lines: dict[str, dict[str, list[Decimal]]] = {basis: share_lines(call[f"{basis}s"], weights) for basis in BASES}
    whole = {basis: [-cost for cost in call[f"{basis}s"]] for basis in BASES}
    facts = {name: call[name] for name in ATTRIBUTION}
    made: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    made.append((_charge(project_id, call, rule, "", call["attribution_id"], whole), None))
    for position, (agent, weight) in enumerate(weights.items()):
        costs = {basis: lines[basis][agent] for basis in BASES}
        path = f"{call['agent_path']}/{agent}" if call["agent_path"] else agent
        attribution = interner.intern({**facts, "agent": agent, "agent_path": path})
        charge = _charge(project_id, call, rule, agent, attribution, costs)
        share = {
            "project_id": project_id,
            "origin_id": call["origin_id"],
            "span_id": call["span_id"],
            "rule_id": rule.rule_id,
            "agent": agent,
            "month": call["month"],
            "end_at": call["end_at"],
            "position": position,
            "rule": rule.name,
            "method": rule.method.value,
            "weight": weight,
            **{basis: charge[basis] for basis in BASES},
        }
        made.append((charge, share))
    return made


def _charge(
    project_id: int,
    call: Mapping[str, Any],
    rule: AllocationRule,
    agent: str,
    attribution: int,
    costs: Mapping[str, Sequence[Decimal]],
) -> dict[str, Any]:
    number = len(call["buckets"])
    return {
        "project_id": project_id,
        "month": call["month"],
        "origin_id": share_origin(project_id, rule.rule_id, call["origin_id"], call["span_id"], agent),
        "span_id": b"",
        "charge_class": ChargeClass.ALLOCATION.value,
        "end_at": call["end_at"],
        "is_error": False,
        "attribution_id": attribution,
        "unit_id": call["unit_id"],
        "price_status": PriceStatus.PRICED.value,
        "unpriced_tokens": 0,
        "line_buckets": "{" + ",".join(call["buckets"]) + "}",
        # Tokens stay with the call, which counts them once.
        "line_quantities": "{" + ",".join(["0"] * number) + "}",
        "line_rate_ids": "{" + ",".join(["NULL"] * number) + "}",
        "line_prices_per_m": "{" + ",".join(["NULL"] * number) + "}",
        **{basis: sum(costs[basis], Decimal(0)) for basis in BASES},
        **{f"line_{basis}s": "{" + ",".join(f"{cost:.15f}" for cost in costs[basis]) + "}" for basis in BASES},
    }


def share_origin(project_id: int, rule_id: int, trace_id: bytes, span_id: bytes, agent: str) -> bytes:
    """The origin of a share: a hash of its key, in the place of a trace id; no agent: what is taken off the call."""
    key = f"allocation\x1f{project_id}\x1f{rule_id}\x1f{trace_id.hex()}\x1f{span_id.hex()}\x1f{agent}"
    return blake2b(key.encode(), digest_size=16).digest()


def _origins(project_id: int, rows: Sequence[Any]) -> Iterator[bytes]:
    for row in rows:
        for agent in ("", row.agent):
            yield share_origin(project_id, row.rule_id, bytes(row.origin_id), bytes(row.span_id), agent)


_WANTED = "unnest(CAST(:origins AS bytea[]), CAST(:spans AS bytea[])) AS wanted (origin_id, span_id)"


def _before(connection: Connection, asked: Mapping[str, Any]) -> list[Any]:
    return list(
        connection.execute(
            text(
                f"SELECT s.origin_id, s.span_id, s.rule_id, s.agent, s.month FROM allocations s JOIN {_WANTED} "
                "USING (origin_id, span_id) WHERE s.project_id = :project_id"
            ),
            asked,
        )
    )


def _calls(connection: Connection, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Priced calls served by a provider, with what rules ask about and their lines on every basis."""
    named = ", ".join(f"a.{name}" for name in ATTRIBUTION)
    found = connection.execute(
        text(
            f"SELECT c.origin_id, c.span_id, c.month, c.end_at, c.attribution_id, c.unit_id, k.agents, {named}, "
            "u.task, u.session, u.user_id, u.tags, c.line_buckets AS buckets, c.line_list_costs AS list_costs, "
            "coalesce(c.line_billed_costs, c.line_list_costs) AS billed_costs, "
            "coalesce(c.line_effective_costs, c.line_billed_costs, c.line_list_costs) AS effective_costs "
            f"FROM charges c JOIN {_WANTED} USING (origin_id, span_id) "
            "JOIN calls k ON k.project_id = c.project_id AND k.trace_id = c.origin_id AND k.span_id = c.span_id "
            "AND k.month = c.month "
            "JOIN attributions a ON a.project_id = c.project_id AND a.attribution_id = c.attribution_id "
            "JOIN work_units u ON u.project_id = c.project_id AND u.unit_id = c.unit_id "
            "WHERE c.project_id = :project_id AND c.charge_class = 'usage' AND c.superseded_at IS NULL "
            "AND c.price_status = 'priced' AND c.deployment_id IS NULL AND cardinality(c.line_buckets) > 0"
        ),
        asked,
    )
    return [{**row._mapping, "origin_id": bytes(row.origin_id), "span_id": bytes(row.span_id)} for row in found]


def _keep(
    connection: Connection, asked: Mapping[str, Any], closed: Collection[date], shares: Sequence[dict[str, Any]]
) -> None:
    connection.execute(
        text(
            f"DELETE FROM allocations s USING {_WANTED} WHERE s.project_id = :project_id "
            "AND s.origin_id = wanted.origin_id AND s.span_id = wanted.span_id AND s.month <> ALL(:closed)"
        ),
        {**asked, "closed": sorted(closed)},
    )
    copy_frame(connection, "allocations", pl.DataFrame(list(shares), schema=_SHARES))


def calls_to_share(connection: Connection, project_id: int, after: Key | None, limit: int) -> list[Key]:
    """Calls of open months that a rule in force may meet, or that are shared already, in key order after a key."""
    met = attributions_met(connection, project_id, list_allocation_rules(connection, project_id))
    trace, span = after or (b"", b"")
    rows = connection.execute(
        text(
            "SELECT trace_id, span_id FROM (SELECT trace_id, span_id FROM calls WHERE project_id = :project_id "
            "AND attribution_id = ANY(:met) AND month <> ALL(:closed) "
            "UNION SELECT origin_id, span_id FROM allocations WHERE project_id = :project_id AND month <> ALL(:closed)"
            ") wanted WHERE (trace_id, span_id) > (:trace, :span) ORDER BY trace_id, span_id LIMIT :limit"
        ),
        {
            "project_id": project_id,
            "met": met,
            "closed": sorted(closed_months(connection, project_id)),
            "trace": trace,
            "span": span,
            "limit": limit,
        },
    )
    return [(bytes(row.trace_id), bytes(row.span_id)) for row in rows]


def list_shares(
    connection: Connection, projects: Sequence[int], start: datetime, end: datetime, limit: int
) -> list[Any]:
    """Shares of calls that ended in [start, end), the newest first, agents in the order in which they spoke."""
    return list(
        connection.execute(
            text(
                "SELECT p.name AS project, s.* FROM allocations s JOIN projects p ON p.id = s.project_id "
                "WHERE s.project_id = ANY(:projects) AND s.end_at >= :start AND s.end_at < :end "
                "ORDER BY s.end_at DESC, s.origin_id, s.span_id, s.position LIMIT :limit"
            ),
            {"projects": list(projects), "start": start, "end": end, "limit": limit},
        )
    )


def share_json(row: Any) -> dict[str, Any]:
    """One share as shown outside: whose, under which rule, how much."""
    return {
        "agent": row.agent,
        "rule_id": row.rule_id,
        "rule": row.rule,
        "method": row.method,
        "weight": plain(row.weight),
        **{basis: plain(getattr(row, basis)) for basis in BASES},
    }


def shares_of(
    connection: Connection, keys: Collection[tuple[int, bytes, bytes]]
) -> dict[tuple[int, bytes, bytes], list[Any]]:
    """Shares by (project, trace, span) of the calls named."""
    found: dict[tuple[int, bytes, bytes], list[Any]] = {}
    rows = connection.execute(
        text(
            "SELECT s.* FROM allocations s JOIN unnest(CAST(:projects AS bigint[]), CAST(:origins AS bytea[]), "
            "CAST(:spans AS bytea[])) AS wanted (project_id, origin_id, span_id) "
            "USING (project_id, origin_id, span_id) ORDER BY s.position"
        ),
        {
            "projects": [key[0] for key in keys],
            "origins": [key[1] for key in keys],
            "spans": [key[2] for key in keys],
        },
    )
    for row in rows:
        found.setdefault((row.project_id, bytes(row.origin_id), bytes(row.span_id)), []).append(row)
    return found
