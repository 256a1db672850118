"""Daily sums of a month for exports: tokens by SKU, own capacity used, idle and bought, corrections."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import polars as pl
from sqlalchemy import Connection, text

from models.costs.focus import DAILY_SUMS
from models.store.period_checks import month_bounds

_FACTS = (
    "kind, day, account_id, account_id AS account_name, project, team, cost_center, environment, agent, provider, "
    "model, tier, region, bucket, context_from, capacity_id"
)
_TOKENS = """
SELECT CASE WHEN c.charge_class = 'correction' THEN 'correction' ELSE 'tokens' END AS kind,
       (coalesce(c.usage_at, c.end_at) AT TIME ZONE 'UTC')::date AS day,
       coalesce(a.provider, 'unknown') || ':' || 'default' AS account_id, p.name AS project,
       a.team, a.cost_center, a.environment, a.agent, coalesce(a.provider, 'unknown') AS provider,
       coalesce(a.model, 'unknown') AS model, r.tier, r.region, line.bucket, r.context_from,
       NULL::text AS capacity_id, line.quantity,
       line.price AS list_price, coalesce(line.billed_price, line.price) AS billed_price,
       line.rate_id || coalesce('/' || nullif(line.billed_rate_id, line.rate_id), '') AS price_version,
       line.list_cost, line.billed_cost, line.effective_cost,
       -- What is corrected: the closed month, by its snapshot, and how.
       CASE WHEN c.charge_class = 'correction' THEN to_char(c.usage_at AT TIME ZONE 'UTC', 'YYYY-MM')
            || coalesce('/' || (SELECT max(s.number) FROM period_snapshots s WHERE s.project_id = c.project_id
                AND s.month = date_trunc('month', c.usage_at, 'UTC')::date), '')
            || ':' || c.correction_part END AS corrects
FROM charges c
JOIN attributions a ON a.project_id = c.project_id AND a.attribution_id = c.attribution_id
JOIN projects p ON p.id = c.project_id
CROSS JOIN LATERAL unnest(
    c.line_buckets, c.line_quantities, c.line_rate_ids, c.line_prices_per_m, c.line_list_costs, c.line_billed_rate_ids,
    c.line_billed_prices_per_m, coalesce(c.line_billed_costs, c.line_list_costs),
    coalesce(c.line_effective_costs, c.line_billed_costs, c.line_list_costs)
) AS line (bucket, quantity, rate_id, price, list_cost, billed_rate_id, billed_price, billed_cost, effective_cost)
LEFT JOIN rate_facts r ON r.rate_id = line.rate_id
WHERE c.project_id = ANY(:projects) AND c.month = :month AND c.superseded_at IS NULL
  AND c.charge_class IN ('usage', 'reported_usage', 'correction')
  AND (c.deployment_id IS NULL OR c.charge_class = 'correction')
"""
_TOKEN_SUMS = f"""
WITH rate_facts AS MATERIALIZED (
    SELECT DISTINCT ON (rate_id) rate_id, tier, region, context_from FROM rates ORDER BY rate_id, book_id DESC
), lines AS ({_TOKENS})
SELECT {_FACTS}, sum(quantity) AS quantity, list_price, billed_price, price_version,
       sum(coalesce(list_cost, CASE WHEN kind = 'correction' THEN effective_cost END)) AS list_cost,
       sum(coalesce(quantity * billed_price / 1000000, CASE WHEN kind = 'correction' THEN billed_cost END))
           AS contracted_cost,
       sum(billed_cost) AS billed_cost, sum(effective_cost) AS effective_cost, corrects AS corrects_charge_id
FROM lines
GROUP BY kind, day, account_id, project, team, cost_center, environment, agent, provider, model, tier, region, bucket,
         context_from, capacity_id, list_price, billed_price, price_version, corrects,
         (effective_cost IS NULL)
ORDER BY day
"""
_CAPACITY_SUMS = f"""
WITH owned AS (
    SELECT c.project_id, c.deployment_id, (c.end_at AT TIME ZONE 'UTC')::date AS day, c.charge_class, c.attribution_id,
           sum(c.billed_cost) AS billed_cost, sum(c.effective_cost) AS effective_cost
    FROM charges c
    WHERE c.project_id = ANY(:projects) AND c.month = :month AND c.superseded_at IS NULL
      AND c.deployment_id IS NOT NULL AND c.charge_class IN ('usage', 'idle', 'purchase')
    GROUP BY 1, 2, 3, 4, 5, (c.effective_cost IS NULL)
), hours AS (
    SELECT project_id, deployment_id, (hour AT TIME ZONE 'UTC')::date AS day, sum(bill) AS bill,
           sum(chip_seconds)::numeric / 3600 AS provisioned,
           sum(prefill_chip_seconds + decode_chip_seconds)::numeric / 3600 AS used,
           sum(coalesce(prefill_cost, 0) + coalesce(decode_cost, 0)) AS used_cost
    FROM deployment_hours
    WHERE project_id = ANY(:projects) AND hour >= :start AND hour < :end AND bill IS NOT NULL
    GROUP BY 1, 2, 3
), priced AS (
    SELECT *, round(bill / nullif(provisioned, 0), 9) AS price FROM hours
), rows AS (
    SELECT CASE o.charge_class WHEN 'usage' THEN 'hardware' ELSE o.charge_class END AS kind, o.day,
           'own-capacity:' || p.name AS account_id, p.name AS project, a.team, a.cost_center, a.environment, a.agent,
           'own capacity' AS provider, d.accelerator AS model, NULL::text AS tier, NULL::text AS region,
           NULL::text AS bucket, NULL::bigint AS context_from, d.name AS capacity_id,
           -- Chip-hours of a payer: its part of the used ones, as its cost is part of theirs.
           CASE o.charge_class WHEN 'usage' THEN round(h.used * o.effective_cost / nullif(h.used_cost, 0), 6)
                WHEN 'idle' THEN round(greatest(h.provisioned - h.used, 0), 6) ELSE round(h.provisioned, 6) END
               AS quantity,
           h.price, o.billed_cost, o.effective_cost
    FROM owned o
    JOIN projects p ON p.id = o.project_id
    JOIN attributions a ON a.project_id = o.project_id AND a.attribution_id = o.attribution_id
    JOIN deployments d ON d.project_id = o.project_id AND d.deployment_id = o.deployment_id
    LEFT JOIN priced h ON h.project_id = o.project_id AND h.deployment_id = o.deployment_id AND h.day = o.day
)
SELECT {_FACTS}, sum(quantity) AS quantity, price AS list_price, price AS billed_price, NULL::text AS price_version,
       sum(quantity * price) AS list_cost, sum(quantity * price) AS contracted_cost,
       sum(billed_cost) AS billed_cost, sum(effective_cost) AS effective_cost, NULL::text AS corrects_charge_id
FROM rows
GROUP BY kind, day, account_id, project, team, cost_center, environment, agent, provider, model, tier, region, bucket,
         context_from, capacity_id, price, (effective_cost IS NULL)
ORDER BY day
"""


def daily_sums(connection: Connection, projects: Sequence[int], month: date) -> Iterator[pl.DataFrame]:
    """What a month of some projects cost, one frame of DAILY_SUMS per day of usage, the oldest day first.

    Days before the month are those of corrections. Read by a cursor: only a day at a time is held. The transaction
    should be REPEATABLE READ. Unknown costs are rows with null costs.
    """
    start, end = month_bounds(month)
    scope = {"projects": list(projects), "month": month, "start": start, "end": end}
    capacity = [tuple(row) for row in connection.execute(text(_CAPACITY_SUMS), scope)]
    by_day: dict[date, list[tuple[Any, ...]]] = {}
    for row in capacity:
        by_day.setdefault(row[1], []).append(row)
    streamed = connection.execution_options(stream_results=True, max_row_buffer=10_000)
    with streamed.execute(text(_TOKEN_SUMS), scope) as found:
        for day, rows in groupby((tuple(row) for row in found), key=lambda row: row[1]):
            for earlier in sorted(other for other in by_day if other < day):
                yield _frame(by_day.pop(earlier))
            yield _frame([*rows, *by_day.pop(day, [])])
    for later in sorted(by_day):
        yield _frame(by_day[later])


def _frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=DAILY_SUMS, orient="row")
