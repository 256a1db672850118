"""Money: exact decimals of scale 15. Round once, at the edge of display."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import TypeVar

from models.core.errors import NothingToSplitBy

Key = TypeVar("Key")

SCALE = 15
"""Digits after the point of every cost: a price per million has 9, a count times it divided by 10⁶ has 15."""
QUANTUM = Decimal(1).scaleb(-SCALE)
PER_MILLION = Decimal(1_000_000)
EXACT = Context(prec=50)
"""Precision for products of money; 38 digits fit in NUMERIC(38, 15), 50 leave room to check."""


def exact_cost(quantity: int, price_per_m: Decimal) -> Decimal:
    """Cost of a count at a price per million, exactly.

    Units    quantity in tokens, price in USD per million tokens; the answer in USD, scale 15.
    Raises   decimal.Inexact never: 9 + 6 digits after the point fit in 15.
    """
    return EXACT.divide(EXACT.multiply(Decimal(quantity), price_per_m), PER_MILLION)


def plain(cost: Decimal | None) -> str | None:
    """A cost as the decimal string of the API: no exponent, no trailing zeros, null for unknown."""
    if cost is None:
        return None
    text = format(cost, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def split_exactly(cost: Decimal, weights: Mapping[Key, Decimal], scale: int = SCALE) -> dict[Key, Decimal]:
    """Split a cost by weights so that the parts sum to it exactly (largest remainder).

    Shapes   one cost × n weights → n parts, in the order of the weights.
    Units    parts in whole units of 10⁻ˢᶜᵃˡᵉ; each within one unit of its exact share. The sign of the cost
             goes to every part; ties go to the larger weight, then to the smaller key as text.
    Raises   NothingToSplitBy when the weights are empty, negative or sum to zero: an even split would be invented.
    Source   money rule M4 (round the total, then split it).
    """
    shares = {key: Fraction(weight) for key, weight in weights.items()}
    total = sum(shares.values(), Fraction(0))
    if total <= 0 or any(share < 0 for share in shares.values()):
        raise NothingToSplitBy(cost, weights)
    quanta = int(EXACT.scaleb(abs(cost), scale))
    exact = {key: quanta * share / total for key, share in shares.items()}
    units = {key: part.numerator // part.denominator for key, part in exact.items()}
    spare = quanta - sum(units.values())
    by_remainder = sorted(exact, key=lambda key: (units[key] - exact[key], -shares[key], str(key)))
    for key in by_remainder[:spare]:
        units[key] += 1
    sign = -1 if cost < 0 else 1
    return {key: EXACT.scaleb(Decimal(sign * unit), -scale) for key, unit in units.items()}


def rounded(cost: Decimal, digits: int) -> Decimal:
    """A cost rounded for display; half to even, as in accounting."""
    return cost.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
