"""Speculative decoding: tokens gained per verified draft, its cost beside plain decoding, and where it pays."""

from dataclasses import dataclass

from models.core.errors import BadInput


@dataclass(slots=True, frozen=True, kw_only=True)
class Speculation:
    """A step that verifies `drafted` tokens against one that does not. Times in seconds per step of the batch."""

    drafted: int
    step_seconds: float
    verify_seconds: float
    draft_seconds: float
    """One draft step; a small model, or the extra layer of multi-token prediction."""

    def relative_cost(self, acceptance: float) -> float:
        """Cost per output token ÷ that of plain decoding; above 1 the drafts cost more than they save."""
        spent = self.verify_seconds + self.drafted * self.draft_seconds
        return spent / tokens_per_step(self.drafted, acceptance) / self.step_seconds

    def draft_share(self) -> float:
        """Share of the cost that the draft model has: a line of its own under the same call."""
        drafts = self.drafted * self.draft_seconds
        return drafts / (self.verify_seconds + drafts)

    def break_even(self) -> float | None:
        """Acceptance from which speculation pays; None where even perfect drafts do not.

        Source   the cost falls as acceptance rises, so bisection finds the one crossing.
        """
        if self.relative_cost(1.0) > 1:
            return None
        low, high = 0.0, 1.0
        if self.relative_cost(low) <= 1:
            return 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.relative_cost(middle) > 1 else (low, middle)
        return high


def tokens_per_step(drafted: int, acceptance: float) -> float:
    """Tokens a verification yields on average when each draft is accepted with the same chance.

    Raises   BadInput for an acceptance outside 0…1 or fewer than 0 drafts.
    Source   (1 − a^(g+1)) ÷ (1 − a): the accepted run of drafts, and the token that verification adds itself.
    """
    if not 0 <= acceptance <= 1 or drafted < 0:
        raise BadInput(f"acceptance {acceptance} with {drafted} drafts: give 0 to 1, and 0 or more.")
    if acceptance == 1:
        return drafted + 1.0
    return (1 - acceptance ** (drafted + 1)) / (1 - acceptance)


def chance_of(drafted: int, accepted_share: float) -> float:
    """The chance with which each draft is accepted, out of what requests tell: accepted ÷ drafted tokens.

    A run of accepted drafts ends at the first one refused, so the share lies below the chance. This is the
    `acceptance` that `Speculation.relative_cost` takes.
    Raises   BadInput for a share outside 0…1 or fewer than 1 draft.
    Source   (tokens_per_step − 1) ÷ drafted rises with the chance; bisection finds it.
    """
    if not 0 <= accepted_share <= 1 or drafted < 1:
        raise BadInput(f"accepted share {accepted_share} of {drafted} drafts: give 0 to 1, and 1 or more.")
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if (tokens_per_step(drafted, middle) - 1) / drafted > accepted_share else (middle, high)
        )
    return (low + high) / 2
