"""Amounts as they are shown, so that what is shown adds up: largest remainder over signed parts. No I/O."""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import TypeVar

from models.core.money import EXACT, rounded

Key = TypeVar("Key")


def shown_parts(parts: Mapping[Key, Decimal], digits: int) -> dict[Key, Decimal]:
    """Parts rounded so that they sum to their rounded sum exactly.

    Units    `digits` after the point; each part moves by less than one unit of the last digit shown.
    Ties     the earlier part takes the unit.
    Source   money rule M4 (round the total, then split it).
    """
    step = Decimal(1).scaleb(-digits)
    total = Decimal(0)
    for part in parts.values():
        total = EXACT.add(total, part)
    low = {key: part.quantize(step, rounding=ROUND_FLOOR, context=EXACT) for key, part in parts.items()}
    units = int((rounded(total, digits) - sum(low.values(), Decimal(0))) / step)
    order = sorted(parts, key=lambda key: low[key] - parts[key])
    for key in order[:units]:
        low[key] += step
    return low
