"""The change of a bill in one sentence of plain words."""

from decimal import Decimal

from models.core.money import rounded
from models.costs.decomposition import Decomposition

UP_AND_DOWN: dict[str, tuple[str, str]] = {
    "activity": ("more activity", "less activity"),
    "mix": ("a move to costlier agents and models", "a move to cheaper agents and models"),
    "calls_per_task": ("more calls per task", "fewer calls per task"),
    "context_size": ("larger contexts", "smaller contexts"),
    "bucket_mix": ("a costlier mix of cache and reasoning", "a cheaper mix of cache and reasoning"),
    "unit_price": ("higher unit prices", "lower unit prices"),
}
"""What each factor is called when it adds, and when it saves."""


def sentence(found: Decomposition, currency: str = "USD") -> str:
    """Say what moved the bill, the largest reasons first; reasons under 1 % of the movement are left out.

    Units    amounts rounded to cents for reading; the figures themselves stay in the decomposition.
    """
    start, end = _amount(found.base, currency), _amount(found.current, currency)
    if all(effect == 0 for effect in found.effects.values()):
        return f"Spend stayed at {end}, and so did each of its parts."
    verb = "rose" if found.change > 0 else "fell" if found.change < 0 else "stayed level"
    share = f" ({100 * found.change / found.base:+.1f} %)" if found.base else ""
    head = f"Spend {verb} from {start} to {end}{share}"
    moved = sum((abs(effect) for effect in found.effects.values()), Decimal(0))
    told = [(name, effect) for name, effect in found.effects.items() if abs(effect) * 100 >= moved]
    told.sort(key=lambda part: -abs(part[1]))
    added = [f"{UP_AND_DOWN[name][0]} {_amount(effect, currency)}" for name, effect in told if effect > 0]
    saved = [f"{UP_AND_DOWN[name][1]} {_amount(-effect, currency)}" for name, effect in told if effect < 0]
    reasons = [f"{verb} {_listed(parts)}" for verb, parts in (("added:", added), ("saved:", saved)) if parts]
    return f"{head}; {'; '.join(reasons)}."


def _amount(cost: Decimal, currency: str) -> str:
    digits = 2 if abs(cost) >= 1 or cost == 0 else 6
    sign = "$" if currency == "USD" else f"{currency} "
    return f"{sign}{rounded(cost, digits):,}"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
