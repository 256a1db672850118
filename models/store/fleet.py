"""What the hours of deployments were used for, as the hardware page and its CSV read it."""

from datetime import datetime

from sqlalchemy import Connection, text

from models.core.fleet import HourUse

COLUMNS = (
    "hour",
    "calls",
    "uncached_tokens",
    "cached_tokens",
    "generated_tokens",
    "chip_seconds",
    "prefill_chip_seconds",
    "decode_chip_seconds",
    "bill",
    "prefill_cost",
    "decode_cost",
    "idle_cost",
    "evidence",
    "problem",
)

SECONDS = ("chip_seconds", "prefill_chip_seconds", "decode_chip_seconds")


def hours_of_deployments(
    connection: Connection, project_id: int, start: datetime, end: datetime
) -> dict[int, list[HourUse]]:
    """Deployment → its shared hours that begin in [start, end), in the order of time."""
    rows = connection.execute(
        text(
            f"SELECT deployment_id, {', '.join(COLUMNS)} FROM deployment_hours WHERE project_id = :project_id "
            "AND hour >= :start AND hour < :end ORDER BY hour, deployment_id"
        ),
        {"project_id": project_id, "start": start, "end": end},
    )
    found: dict[int, list[HourUse]] = {}
    for row in rows:
        figures = {name: getattr(row, name) for name in COLUMNS}
        # Kept exactly, shown as the estimates they are.
        figures |= {name: None if figures[name] is None else float(figures[name]) for name in SECONDS}
        found.setdefault(row.deployment_id, []).append(HourUse(**figures))
    return found
