"""Days of metric streams: written when a stream is derived, held against the calls of the same days."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, text

from models.core.metrics import MetricDay, MetricGap
from models.costs.metric_gaps import gaps_of


def keep_metric_days(connection: Connection, project_id: int, days: Sequence[MetricDay]) -> None:
    """Keep what streams added per day. Safe to repeat; a day that is not known as a whole never takes anything off."""
    if not days:
        return
    connection.execute(
        text(
            "INSERT INTO metric_days AS kept "
            "(project_id, day, stream_id, service, scope, metric, model, output_tokens) "
            "SELECT :project_id, day, stream_id, service, scope, metric, model, output_tokens FROM unnest("
            "CAST(:day AS date[]), CAST(:stream_id AS bytea[]), CAST(:service AS text[]), CAST(:scope AS text[]), "
            "CAST(:metric AS text[]), CAST(:model AS text[]), CAST(:output_tokens AS bigint[])) "
            "AS told (day, stream_id, service, scope, metric, model, output_tokens) ORDER BY day, stream_id "
            "ON CONFLICT (project_id, day, stream_id) DO UPDATE SET output_tokens = CASE "
            "WHEN (kept.stream_id, kept.day) IN (SELECT * FROM unnest(CAST(:part_stream AS bytea[]), "
            "CAST(:part_day AS date[]))) THEN greatest(kept.output_tokens, EXCLUDED.output_tokens) "
            "ELSE EXCLUDED.output_tokens END"
        ),
        {
            "project_id": project_id,
            **{
                name: [getattr(each, name) for each in days]
                for name in ("day", "stream_id", "service", "scope", "metric", "model", "output_tokens")
            },
            "part_stream": [each.stream_id for each in days if not each.is_whole],
            "part_day": [each.day for each in days if not each.is_whole],
        },
    )


def answer_metric_gaps(
    connection: Connection, projects: Sequence[int], start: datetime, end: datetime
) -> Sequence[MetricGap]:
    """Services whose metrics say more than their calls, on the UTC days that the period touches."""
    first, last = start.astimezone(UTC).date(), _last_day(end)
    asked = {"projects": list(projects), "first": first, "last": last}
    said = connection.execute(
        text(
            "SELECT service, scope, metric, model, sum(output_tokens) AS output_tokens FROM metric_days "
            "WHERE project_id = ANY(:projects) AND day >= :first AND day <= :last GROUP BY 1, 2, 3, 4"
        ),
        asked,
    ).all()
    if not said:
        return []
    counted = connection.execute(
        text(
            "SELECT a.service, a.model, sum(r.output + r.reasoning) AS output_tokens FROM rollup_calls r "
            "JOIN attributions a USING (project_id, attribution_id) WHERE r.project_id = ANY(:projects) "
            "AND r.grain = 'day' AND r.period_start >= :start AND r.period_start < :end GROUP BY 1, 2"
        ),
        {"projects": list(projects), "start": _midnight(first), "end": _midnight(last + timedelta(days=1))},
    )
    return gaps_of(
        [
            MetricDay(
                stream_id=b"",
                day=first,
                service=row.service,
                scope=row.scope,
                metric=row.metric,
                model=row.model,
                output_tokens=int(row.output_tokens),
            )
            for row in said
        ],
        {(row.service, row.model): int(row.output_tokens) for row in counted},
    )


def _last_day(end: datetime) -> date:
    """The last day with a moment before the half-open end."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
