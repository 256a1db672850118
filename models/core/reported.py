"""Usage that a provider's report tells and no call of ours: one line of a statement."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from models.core.money import EXACT, exact_cost

MICRO = 1_000_000
AI_CREDITS = "ai_credits"
"""The bucket of GitHub's AI credits: counted in millionths, so that a price per million is the price of one credit."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ReportedLine:
    """One line of a provider's usage report: what was consumed, and what of it is billed.

    Units    quantity in the report's unit (credits); prices in USD per unit; amounts in USD.
    """

    origin_id: bytes
    """Hash of what the line is about, not of its amounts: a later report of the same line replaces it."""
    day: date
    """The UTC day of the usage."""
    provider: str
    service: str
    operation: str
    bucket: str
    model: str | None
    user: str | None
    cost_center: str | None
    organization: str | None
    repository: str | None
    quantity: Decimal
    price_per_unit: Decimal
    gross: Decimal
    discount: Decimal
    net: Decimal
    position: str
    """File and line."""

    @property
    def micro_units(self) -> int:
        """The quantity in millionths; finer parts are rounded half to even."""
        return int(EXACT.multiply(self.quantity, Decimal(MICRO)).to_integral_value(ROUND_HALF_EVEN))

    @property
    def list_cost(self) -> Decimal:
        """What was consumed, at the price of a unit, exactly."""
        return exact_cost(self.micro_units, self.price_per_unit)
