"""Included credits are a pool of all users: what is billed beyond it is shared by consumption. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from models.core.money import split_exactly
from models.core.reported import ReportedLine

ZERO = Decimal(0)


def consumption_shares(net: Mapping[bytes, Decimal], consumed: Mapping[bytes, Decimal]) -> dict[bytes, Decimal]:
    """What each line of a month is charged: the month's net, shared by consumption.

    Shapes   net and consumption (at list price) of the same n lines → n effective costs; Σ = Σ net exactly.
    Units    USD, scale 15. Where nothing was consumed, each line keeps its own net.
    Source   the pool is empty for whoever comes last, so the net of a single line depends on the order of use.
    """
    if not any(consumed.values()):
        return dict(net)
    return split_exactly(sum(net.values(), ZERO), consumed)


@dataclass(slots=True, frozen=True)
class Tie:
    """A month of a report against its own unit prices. Consumption is kept apart from what is billed."""

    month: str
    lines: int
    credits: Decimal
    consumed: Decimal
    """Credits at the price of a credit."""
    gross: Decimal
    discount: Decimal
    net: Decimal

    @property
    def off(self) -> Decimal:
        """|credits in USD − gross|, as a share of gross; 0 where both are 0, 1 where only gross is."""
        if not self.gross:
            return ZERO if not self.consumed else Decimal(1)
        return abs(self.consumed - self.gross) / abs(self.gross)

    @property
    def is_tied(self) -> bool:
        """Whether credits and dollars agree to half a per cent."""
        return self.off <= Decimal("0.005")


def ties(lines: Sequence[ReportedLine]) -> list[Tie]:
    """The lines of reports added up by month."""
    months: dict[str, list[ReportedLine]] = {}
    for line in lines:
        months.setdefault(f"{line.day:%Y-%m}", []).append(line)
    return [
        Tie(
            month,
            len(found),
            sum((line.quantity for line in found), ZERO),
            sum((line.list_cost for line in found), ZERO),
            sum((line.gross for line in found), ZERO),
            sum((line.discount for line in found), ZERO),
            sum((line.net for line in found), ZERO),
        )
        for month, found in sorted(months.items())
    ]
