"""Why the bill moved: exact additive decomposition of a change in spend into six factors. No I/O, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal

from models.core.errors import BadInput
from models.core.money import EXACT, QUANTUM

FACTORS: tuple[str, ...] = ("activity", "mix", "calls_per_task", "context_size", "bucket_mix", "unit_price")
"""Activity, agent & model mix, calls per task, context size, cache & reasoning mix, unit price: in this order."""

ZERO = Decimal(0)


@dataclass(slots=True, frozen=True, kw_only=True)
class Cell:
    """What one cell of the chosen dimensions did in one period: only what is priced."""

    key: tuple[str | None, ...]
    activity: Decimal
    """Tasks done; calls where no task is known. A task that touches two cells counts in both."""
    calls: Decimal
    tokens: Mapping[str, Decimal]
    costs: Mapping[str, Decimal]


@dataclass(slots=True, frozen=True, kw_only=True)
class CellEffects:
    """What moved the spend of one cell; the effects sum to `current − base` exactly."""

    key: tuple[str | None, ...]
    base: Decimal
    current: Decimal
    effects: Mapping[str, Decimal]

    @property
    def change(self) -> Decimal:
        """Current less base."""
        return self.current - self.base


@dataclass(slots=True, frozen=True, kw_only=True)
class Decomposition:
    """The change of a bill by factor and by cell; rows and columns add up exactly."""

    base: Decimal
    current: Decimal
    effects: Mapping[str, Decimal]
    cells: Sequence[CellEffects] = field(default_factory=list[CellEffects])

    @property
    def change(self) -> Decimal:
        """Current less base."""
        return self.current - self.base


def decompose(base: Sequence[Cell], current: Sequence[Cell]) -> Decomposition:
    """Split the change of spend between two periods into six factors without a residual.

    B = Σ_k Σ_b A · S_k · C_k · T_k · M_kb · P_kb: activity, share of the cell, calls per task, tokens per call,
    share of the bucket in the tokens, price of the bucket.

    Shapes   cells of either period, each key at most once → six effects, and the same six per cell.
    Units    costs in one currency, scale 15; effects likewise. Logarithms are taken with 50 digits; each cell's
             six effects are cut to whole units of 10⁻¹⁵ and the few units left over go to the largest remainders,
             so they sum to the change of the cell exactly, and the totals are sums of cells.
    Zeros    take the analytical limit: what appears or vanishes gives its whole change to the outermost factor that
             went from or to zero (a new cell is mix, a new bucket is bucket_mix). Cost without tokens (requests
             priced by the piece) has no price per token: its change per call is bucket_mix.
    Raises   BadInput for a negative cost, count or a key given twice.
    Source   B. W. Ang, "The LMDI approach to decomposition analysis", Energy Policy 33 (2005) 867–871.
    """
    before, after = _by_key(base, "base"), _by_key(current, "current")
    activity = (_total(cell.activity for cell in base), _total(cell.activity for cell in current))
    cells = [_cell_effects(key, before.get(key), after.get(key), activity) for key in _keys(before, after)]
    cells.sort(key=lambda cell: (-abs(cell.change), _text(cell.key)))
    return Decomposition(
        base=_total(cell.base for cell in cells),
        current=_total(cell.current for cell in cells),
        effects={factor: _total(cell.effects[factor] for cell in cells) for factor in FACTORS},
        cells=cells,
    )


def _by_key(cells: Sequence[Cell], period: str) -> dict[tuple[str | None, ...], Cell]:
    found: dict[tuple[str | None, ...], Cell] = {}
    for cell in cells:
        if cell.key in found:
            raise BadInput(f"cell {cell.key} stands twice in the {period} period. Sum its rows first.")
        figures = (cell.activity, cell.calls, *cell.tokens.values(), *cell.costs.values())
        if any(figure < 0 for figure in figures):
            raise BadInput(
                f"cell {cell.key} of the {period} period has a negative figure ({min(figures)}). "
                "Leave credits and corrections out: they have no logarithm."
            )
        found[cell.key] = cell
    return found


def _keys(
    before: Mapping[tuple[str | None, ...], Cell], after: Mapping[tuple[str | None, ...], Cell]
) -> list[tuple[str | None, ...]]:
    return sorted({*before, *after}, key=_text)


def _text(key: tuple[str | None, ...]) -> tuple[str, ...]:
    """A sortable form of a key in which no value and the empty value differ."""
    return tuple("0" if part is None else f"1{part}" for part in key)


def _cell_effects(
    key: tuple[str | None, ...], before: Cell | None, after: Cell | None, activity: tuple[Decimal, Decimal]
) -> CellEffects:
    empty = Cell(key=key, activity=ZERO, calls=ZERO, tokens={}, costs={})
    cell = (before or empty, after or empty)
    tokens = (_total(cell[0].tokens.values()), _total(cell[1].tokens.values()))
    exact = dict.fromkeys(FACTORS, ZERO)
    for bucket in sorted({*cell[0].costs, *cell[1].costs}):
        spend = (cell[0].costs.get(bucket, ZERO), cell[1].costs.get(bucket, ZERO))
        counted = (cell[0].tokens.get(bucket, ZERO), cell[1].tokens.get(bucket, ZERO))
        # Each quantity is the one before it times a factor: the last column is what is paid.
        levels = [
            ("activity", activity),
            ("mix", (cell[0].activity, cell[1].activity)),
            ("calls_per_task", (cell[0].calls, cell[1].calls)),
        ]
        if _by_token(spend, counted):
            levels += [("context_size", tokens), ("bucket_mix", counted), ("unit_price", spend)]
        else:
            levels += [("bucket_mix", spend)]
        for factor, effect in _bucket_effects(levels, spend).items():
            exact[factor] = EXACT.add(exact[factor], effect)
    base, current = _total(cell[0].costs.values()), _total(cell[1].costs.values())
    return CellEffects(key=key, base=base, current=current, effects=_whole_units(exact, current - base))


def _by_token(spend: tuple[Decimal, Decimal], counted: tuple[Decimal, Decimal]) -> bool:
    """Whether the spend of both periods has tokens to divide by."""
    return all(count > 0 or cost == 0 for cost, count in zip(spend, counted, strict=True))


def _bucket_effects(
    levels: Sequence[tuple[str, tuple[Decimal, Decimal]]], spend: tuple[Decimal, Decimal]
) -> dict[str, Decimal]:
    """Effects of one cell-bucket: L(V¹, V⁰) · ln(x¹/x⁰), or the limit where something is zero."""
    change = EXACT.subtract(spend[1], spend[0])
    if spend[0] == 0 or spend[1] == 0:
        if change == 0:
            return {}
        outermost = next(factor for factor, level in levels if level[0] == 0 or level[1] == 0)
        return {outermost: change}
    short = [factor for factor, level in levels if level[0] == 0 or level[1] == 0]
    if short:
        raise BadInput(f"spend {spend[0]} → {spend[1]} with no {short[0]}: its counts are zero. Count calls instead.")
    total_log = _log_ratio(spend)
    mean = spend[0] if change == 0 or total_log == 0 else EXACT.divide(change, total_log)
    effects: dict[str, Decimal] = {}
    outer = ZERO
    for factor, level in levels:
        log = _log_ratio(level)
        effects[factor] = EXACT.multiply(mean, EXACT.subtract(log, outer))
        outer = log
    return effects


def _log_ratio(level: tuple[Decimal, Decimal]) -> Decimal:
    # Reversing the periods must flip the sign to the last digit, so the ratio is taken one way only.
    if level[0] == level[1]:
        return ZERO
    low, high = min(level), max(level)
    log = EXACT.ln(EXACT.divide(high, low))
    # Not `-log`: the sign alone would cut it to the digits of the default context.
    return log if level[1] > level[0] else EXACT.minus(log)


def _whole_units(exact: Mapping[str, Decimal], change: Decimal) -> dict[str, Decimal]:
    """Effects in whole units of 10⁻¹⁵ that sum to the change exactly, whichever way time runs."""
    cut = {factor: effect.quantize(QUANTUM, rounding=ROUND_DOWN, context=EXACT) for factor, effect in exact.items()}
    spare = EXACT.subtract(change, _total(cut.values()))
    step = QUANTUM if spare > 0 else -QUANTUM
    order = sorted(FACTORS, key=lambda factor: EXACT.multiply(step, EXACT.subtract(cut[factor], exact[factor])))
    for factor in order[: int(EXACT.divide(abs(spare), QUANTUM))]:
        cut[factor] = EXACT.add(cut[factor], step)
    return cut


def _total(figures: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for figure in figures:
        total = EXACT.add(total, figure)
    return total
