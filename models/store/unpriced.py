"""Models without a price, and the usage that they keep out of the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(slots=True, frozen=True)
class Unpriced:
    """Calls that have no cost for one reason."""

    provider: str | None
    model: str | None
    reason: str
    calls: int
    tokens: int
    first: datetime
    last: datetime


def unpriced_usage(
    connection: Connection, projects: Sequence[int], start: datetime | None = None, end: datetime | None = None
) -> Sequence[Unpriced]:
    """Live charges without a cost by provider, model and reason, the most tokens first. The period is half-open."""
    rows = connection.execute(
        text(
            "SELECT a.provider, a.model, c.unpriced_reason AS reason, count(*) AS calls, "
            "sum(c.unpriced_tokens)::bigint AS tokens, min(c.end_at) AS first, max(c.end_at) AS last "
            "FROM charges c JOIN attributions a USING (project_id, attribution_id) "
            "WHERE c.project_id = ANY(:projects) AND c.superseded_at IS NULL AND c.price_status = 'unpriced' "
            "AND (CAST(:start AS timestamptz) IS NULL OR c.end_at >= :start) "
            "AND (CAST(:end AS timestamptz) IS NULL OR c.end_at < :end) "
            "GROUP BY 1, 2, 3 ORDER BY tokens DESC, calls DESC, 1, 2, 3"
        ),
        {"projects": list(projects), "start": start, "end": end},
    )
    return [Unpriced(**row._mapping) for row in rows]
