"""What a rollup adds up, said once: the same expressions sum new charges, withdrawn ones, edge hours and rebuilds."""

from collections.abc import Sequence

from models.core.vocabulary import BUCKETS

TOKENS = tuple(bucket.value for bucket in BUCKETS)
COSTS = ("list_cost", "billed_cost", "effective_cost", "cache_savings")
"""Cache savings are what the cached tokens would have cost as plain input, less what they did cost."""
CALL_SUMS = (
    "charges",
    "priced_charges",
    "listed_charges",
    "calls",
    "errors",
    "unpriced_calls",
    "unpriced_tokens",
    *TOKENS,
    *COSTS,
)
LINE_SUMS = ("charges", "priced_charges", "listed_charges", "tokens", "unpriced_tokens", "quantity", *COSTS)


def added(columns: Sequence[str], alias: str = "", sign: int = 1) -> str:
    """`sum(column) AS column` for each column: how parts of a cell are put together, or (sign -1) taken off."""
    prefix, minus = f"{alias}." if alias else "", "-" if sign < 0 else ""
    return ", ".join(f"{minus}sum({prefix}{column}) AS {column}" for column in columns)


def listed(columns: Sequence[str], sign: int) -> str:
    """Each column as it is kept, or (sign -1) to be taken off."""
    return ", ".join(column if sign > 0 else f"-{column} AS {column}" for column in columns)


def differs_from_zero(columns: Sequence[str]) -> str:
    """Whether any of the added up columns is not zero: a cell of which nothing is left needs no row."""
    return f"({', '.join(f'sum({column})' for column in columns)}) <> ({', '.join('0' for _ in columns)})"


def merge_parts(table: str, cell: Sequence[str], sums: Sequence[str], within: str, is_empty: str) -> str:
    """The statement that puts the parts of each cell `within` a table into one row, and says how many rows went.

    It deletes and inserts at once: a part that arrives meanwhile is not seen and stays for later, and who merges at the
    same time finds what is left. Cells that lie in one part are as they should be, unless they came to nothing.
    """
    names = ", ".join(cell)
    return (
        f"WITH chosen AS (SELECT id, count(*) OVER (PARTITION BY {names}) AS parts, {is_empty} AS is_empty "
        f"FROM {table} WHERE {within}), "
        f"parts AS (DELETE FROM {table} WHERE id IN (SELECT id FROM chosen WHERE parts > 1 OR is_empty) RETURNING *), "
        f"merged AS (INSERT INTO {table} ({names}, {', '.join(sums)}) "
        f"SELECT {names}, {added(sums)} FROM parts GROUP BY {names} HAVING {differs_from_zero(sums)} RETURNING 1) "
        "SELECT (SELECT count(*) FROM parts) - (SELECT count(*) FROM merged)"
    )


def of_charges(alias: str = "c", sign: str = "1", wanted: tuple[str, ...] = CALL_SUMS) -> str:
    """The call sums over charges. `sign` is a column or number that is 1 for charges that come, -1 for those that go.

    Unknown costs count nothing here; `priced_charges` says whether a sum is known, `listed_charges` for list cost.
    """
    # A correction adds its calls or takes them back; other charges are no calls.
    calls = (
        f"CASE {alias}.charge_class WHEN 'usage' THEN {sign} "
        f"WHEN 'correction' THEN {sign} * {alias}.call_count ELSE 0 END"
    )
    unpriced = f"({alias}.price_status = 'unpriced')"
    counted = {
        "charges": f"sum({sign})",
        "priced_charges": f"sum({sign}) FILTER (WHERE NOT {unpriced})",
        "listed_charges": f"sum({sign}) FILTER (WHERE {alias}.list_cost IS NOT NULL)",
        "calls": f"sum({calls})",
        "errors": f"sum({calls}) FILTER (WHERE {alias}.is_error)",
        "unpriced_calls": f"sum({calls}) FILTER (WHERE {unpriced})",
        "unpriced_tokens": f"sum({sign} * {alias}.unpriced_tokens)",
        **{token: f"sum({sign} * {alias}.{token})" for token in TOKENS},
        **{cost: f"sum({sign} * {alias}.{cost})" for cost in COSTS[:3]},
        "cache_savings": f"sum({sign} * ({alias}.uncached_cost - {alias}.effective_cost))",
    }
    return ", ".join(f"coalesce({expression}, 0) AS {name}" for name, expression in counted.items() if name in wanted)


def lines_of_charges(alias: str = "c", sign: str = "1") -> str:
    """A LATERAL subquery `line` with one row per bucket that has tokens and one per priced line of a charge.

    Tokens come from the disjoint buckets and costs from the lines, so that both add up to the charge however a
    detail (audio, an image, a request fee) is priced apart. The arrays are taken apart in the list of columns, where
    they go along together without a table between: that takes a quarter less than one unnest of them all.
    """
    known = f"{alias}.price_status = 'priced'"
    pairs = ", ".join(f"('{token}', {alias}.{token})" for token in TOKENS)
    return f"""LATERAL (
        SELECT bucket, {sign} AS charges, 0 AS priced_charges, 0 AS listed_charges, {sign} * count AS tokens,
               CASE WHEN {known} THEN 0 ELSE {sign} * count END AS unpriced_tokens, 0::bigint AS quantity,
               0::numeric AS list_cost, 0::numeric AS billed_cost, 0::numeric AS effective_cost,
               0::numeric AS cache_savings
        FROM (VALUES {pairs}) AS counted (bucket, count) WHERE count <> 0
        UNION ALL
        SELECT part.bucket, {sign}, CASE WHEN {known} THEN {sign} ELSE 0 END,
               CASE WHEN part.list_cost IS NULL THEN 0 ELSE {sign} END, 0, 0, {sign} * part.quantity,
               {sign} * coalesce(part.list_cost, 0),
               CASE WHEN {known} THEN {sign} * part.billed_cost ELSE 0 END,
               CASE WHEN {known} THEN {sign} * part.effective_cost ELSE 0 END,
               CASE WHEN {alias}.uncached_cost IS NULL THEN 0
                    ELSE {sign} * (part.uncached_cost - part.effective_cost) END
        FROM (SELECT unnest({alias}.line_buckets) AS bucket, unnest({alias}.line_quantities) AS quantity,
                     unnest({alias}.line_list_costs) AS list_cost,
                     unnest(coalesce({alias}.line_billed_costs, {alias}.line_list_costs)) AS billed_cost,
                     unnest(coalesce({alias}.line_effective_costs, {alias}.line_billed_costs,
                                     {alias}.line_list_costs)) AS effective_cost,
                     unnest(coalesce({alias}.line_uncached_costs, {alias}.line_list_costs)) AS uncached_cost) AS part
    ) AS line"""
