"""What a rollup adds up, said once: the same expressions sum new charges, withdrawn ones, edge hours and rebuilds."""

from collections.abc import Mapping, Sequence

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


def signed(sign: str, amount: str) -> str:
    """An amount that comes or goes. Multiplying by a column would make a decimal of the sign for every row."""
    if sign in ("1", "-1"):
        return f"{sign.removesuffix('1')}({amount})"
    return f"CASE WHEN {sign} > 0 THEN {amount} ELSE -({amount}) END"


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
        "unpriced_tokens": f"sum({signed(sign, f'{alias}.unpriced_tokens')})",
        **{token: f"sum({signed(sign, f'{alias}.{token}')})" for token in TOKENS},
        **{cost: f"sum({signed(sign, f'{alias}.{cost}')})" for cost in COSTS[:3]},
        "cache_savings": f"sum({signed(sign, f'{alias}.uncached_cost - {alias}.effective_cost')})",
    }
    return ", ".join(f"coalesce({expression}, 0) AS {name}" for name, expression in counted.items() if name in wanted)


def lines_of_charges(source: str, keys: Mapping[str, str], sign: str = "1") -> str:
    """A query of the line sums of charges: the keys, `bucket`, then LINE_SUMS, one row per group.

    `source` is a FROM item with its WHERE that names the charges `c`; it is read twice. `keys` are expressions over
    it by their names. Tokens come from the disjoint buckets and costs from the lines, so that both add up to the
    charge however a detail (audio, an image, a request fee) is priced apart. Tokens are added up per group before they
    are told by bucket; the arrays of lines are taken apart in the list of columns, where they go along together.
    """
    known = "c.price_status = 'priced'"
    names = ", ".join(keys)
    groups = ", ".join(f"{expression} AS {name}" for name, expression in keys.items())
    # By place: a name would mean the column of the charge where there is one.
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    of_line = sign if sign in ("1", "-1") else "sign"
    tokens = ", ".join(
        f"sum({sign}) FILTER (WHERE c.{token} <> 0) AS charges_{token}, "
        f"sum({signed(sign, f'c.{token}')}) AS {token}, "
        f"sum({signed(sign, f'c.{token}')}) FILTER (WHERE NOT {known}) AS unpriced_{token}"
        for token in TOKENS
    )
    pairs = ", ".join(f"('{token}', charges_{token}, {token}, unpriced_{token})" for token in TOKENS)
    costs = {"list_cost": "true", "billed_cost": "is_known", "effective_cost": "is_known"}
    sums = {
        "charges": f"sum({of_line})",
        "priced_charges": f"sum({of_line}) FILTER (WHERE is_known)",
        "listed_charges": f"sum({of_line}) FILTER (WHERE list_cost IS NOT NULL)",
        "tokens": "0",
        "unpriced_tokens": "0",
        "quantity": f"sum({signed(of_line, 'quantity')})",
        **{name: f"sum({signed(of_line, name)}) FILTER (WHERE {where})" for name, where in costs.items()},
        "cache_savings": f"sum({signed(of_line, 'uncached_cost - effective_cost')}) FILTER (WHERE has_uncached)",
    }
    return f"""
        WITH counted AS (SELECT {groups}, {tokens} FROM {source} GROUP BY {places}), taken_apart AS (
            SELECT {groups}, {sign} AS sign, {known} AS is_known, c.uncached_cost IS NOT NULL AS has_uncached,
                   unnest(c.line_buckets) AS bucket, unnest(c.line_quantities) AS quantity,
                   unnest(c.line_list_costs) AS list_cost,
                   unnest(coalesce(c.line_billed_costs, c.line_list_costs)) AS billed_cost,
                   unnest(coalesce(c.line_effective_costs, c.line_billed_costs, c.line_list_costs)) AS effective_cost,
                   unnest(coalesce(c.line_uncached_costs, c.line_list_costs)) AS uncached_cost
            FROM {source}
        )
        SELECT {names}, bucket, {added(LINE_SUMS)} FROM (
            SELECT {names}, bucket, {", ".join(f"coalesce({value}, 0) AS {name}" for name, value in sums.items())}
            FROM taken_apart GROUP BY {names}, bucket
            UNION ALL
            SELECT {names}, bucket, charges, 0, 0, tokens, coalesce(unpriced_tokens, 0), 0, 0, 0, 0, 0
            FROM counted, LATERAL (VALUES {pairs}) AS told (bucket, charges, tokens, unpriced_tokens)
            WHERE charges IS NOT NULL
        ) every GROUP BY {names}, bucket"""
