"""The Jevons picture: chained Fisher price index, volume index and bill, by period. No I/O, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from models.core.errors import BadInput
from models.core.money import EXACT

Item = tuple[str | None, str | None, str]
"""Provider, model and bucket: what has a price of its own."""

START = Decimal(100)
ZERO = Decimal(0)


@dataclass(slots=True, frozen=True, kw_only=True)
class Period:
    """What was used and paid in one period, per item."""

    label: str
    """`2026-10` for a month, `2026-10-05` for a day; labels sort in time."""
    quantities: Mapping[Item, Decimal]
    """Tokens, of priced items only."""
    costs: Mapping[Item, Decimal]
    tasks: int | None = None


@dataclass(slots=True, frozen=True, kw_only=True)
class IndexPoint:
    """One period of the picture; the three indices start from 100 in the first period of their chain."""

    label: str
    chain: int
    """Periods of different chains cannot be compared: no item was bought on both sides of the break."""
    price_index: Decimal
    volume_index: Decimal
    bill_index: Decimal
    bill: Decimal
    price_per_task: Decimal | None
    matched_share: Decimal | None
    """Share of this period's bill that was also bought in the period before; None at the head of a chain."""
    note: str | None = None


def fisher(before: Period, after: Period) -> Decimal | None:
    """Price of `after` relative to `before`: √(Laspeyres · Paasche) over the items bought in both.

    Units    a ratio, 50 digits; None when no item with a price was bought in both.
    Source   I. Fisher, "The Making of Index Numbers" (1922).
    """
    matched = [item for item in before.quantities if _bought(before, item) and _bought(after, item)]
    if not matched:
        return None
    paid_before = _sum(before.costs[item] for item in matched)
    paid_after = _sum(after.costs[item] for item in matched)
    old_basket_at_new_prices = _sum(
        EXACT.divide(EXACT.multiply(after.costs[item], before.quantities[item]), after.quantities[item])
        for item in matched
    )
    new_basket_at_old_prices = _sum(
        EXACT.divide(EXACT.multiply(before.costs[item], after.quantities[item]), before.quantities[item])
        for item in matched
    )
    if ZERO in (paid_before, paid_after):
        return None
    laspeyres = EXACT.divide(old_basket_at_new_prices, paid_before)
    paasche = EXACT.divide(paid_after, new_basket_at_old_prices)
    return EXACT.sqrt(EXACT.multiply(laspeyres, paasche))


def chained(periods: Sequence[Period]) -> list[IndexPoint]:
    """Price index, volume index and bill of each period, from 100.

    Shapes   n periods in time order → n points.
    Units    indices with 50 digits (round for display); bill in currency, scale 15; volume = bill ÷ price.
    Breaks   where two neighbours share no item the chain ends; a new one starts from 100 and its note says so.
    Raises   BadInput when labels do not rise, or an item has cost but no quantity.
    """
    points: list[IndexPoint] = []
    head: Decimal | None = None
    for number, period in enumerate(periods):
        _check(period, periods[number - 1] if number else None)
        bill = _sum(period.costs.values())
        link = fisher(periods[number - 1], period) if number else None
        previous = points[-1] if points else None
        if previous is None or link is None or not head:
            head = bill
            price, chain = START, 0 if previous is None else previous.chain + 1
            note = None if previous is None else _break_note(previous.label, period.label)
            share = None
        else:
            price, chain, note = EXACT.multiply(previous.price_index, link), previous.chain, None
            share = _matched_share(periods[number - 1], period, bill)
        relative = EXACT.divide(bill, head) if head else Decimal(1)
        points.append(
            IndexPoint(
                label=period.label,
                chain=chain,
                price_index=price,
                volume_index=EXACT.divide(EXACT.multiply(START, EXACT.multiply(START, relative)), price),
                bill_index=EXACT.multiply(START, relative),
                bill=bill,
                price_per_task=EXACT.divide(bill, Decimal(period.tasks)) if period.tasks else None,
                matched_share=share,
                note=note,
            )
        )
    return points


def _bought(period: Period, item: Item) -> bool:
    return period.quantities.get(item, ZERO) > 0 and item in period.costs


def _matched_share(before: Period, after: Period, bill: Decimal) -> Decimal | None:
    if not bill:
        return None
    matched = _sum(cost for item, cost in after.costs.items() if _bought(before, item) and _bought(after, item))
    return EXACT.divide(matched, bill)


def _break_note(before: str, after: str) -> str:
    return (
        f"Nothing priced was bought both in {before} and in {after}, so their prices cannot be compared: "
        f"the index starts again from 100 in {after}."
    )


def _check(period: Period, before: Period | None) -> None:
    if before is not None and period.label <= before.label:
        raise BadInput(f"period {period.label} does not come after {before.label}. Sort the periods by time.")
    for item, cost in period.costs.items():
        if cost and not period.quantities.get(item, ZERO) > 0:
            raise BadInput(f"{item} costs {cost} in {period.label} without a quantity: it has no unit price.")


def _sum(figures: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for figure in figures:
        total = EXACT.add(total, figure)
    return total
