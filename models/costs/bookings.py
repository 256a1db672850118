"""Amending a closed month: what has to be reversed and booked in the open month so that the ledger is right. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any


class Part(StrEnum):
    """What a correction is."""

    LATE = "late"
    """Usage that arrived after the close: nothing to reverse."""
    REVERSAL = "reversal"
    REBOOKING = "rebooking"


@dataclass(slots=True, frozen=True, kw_only=True)
class Booked:
    """A live charge of one call, as far as amending needs it."""

    charge_id: int
    month: date
    """The month that carries it."""
    part: Part | None
    """None: a usage charge."""
    corrects_id: int | None
    calls: int
    """What it adds to the count of calls; 0 where only its cost was booked later."""
    priced: bool
    digest: bytes
    belongs: int
    """The attribution."""
    costs: tuple[Any, ...]
    tokens: tuple[int | None, ...]


@dataclass(slots=True, frozen=True, kw_only=True)
class Wanted:
    """What the call costs by what is known now."""

    priced: bool
    calls: int = 1
    """0 for a line of a report, which is no call."""
    digest: bytes
    belongs: int
    costs: tuple[Any, ...]
    tokens: tuple[int | None, ...]


@dataclass(slots=True, frozen=True)
class Amendment:
    """The corrections that an open month has to carry for one call."""

    reversals: tuple[Booked, ...] = ()
    part: Part | None = None
    """How the wanted charge is booked: late, as a re-booking, or (None) not at all."""
    corrects_id: int | None = None
    calls: int = 1


def amend(booked: Sequence[Booked], closed: Collection[date], wanted: Wanted | None) -> Amendment:
    """Corrections for one call whose usage lies in a closed month (or used to).

    `booked` are its live charges; those of open months do not count, they are replaced. The answer depends on what is
    closed and on what is wanted alone: asked twice, it is the same, and what has already been booked stays.
    A cost that would become unknown stays booked: only a person may write it off.
    Source   money rules P4, C1 and C2.
    """
    frozen = [each for each in booked if each.month in closed]
    reversed_ids = {each.corrects_id for each in frozen if each.part is Part.REVERSAL}
    standing = [each for each in frozen if each.part is not Part.REVERSAL and each.charge_id not in reversed_ids]
    if not standing:
        return Amendment() if wanted is None else Amendment(part=Part.LATE, calls=wanted.calls)
    last = max(standing, key=lambda each: each.charge_id)
    if wanted is None:
        return Amendment(tuple(standing))
    counted = next((each for each in standing if each.calls > 0), last)
    same_place = last.belongs == wanted.belongs and counted.tokens == wanted.tokens
    if same_place and (last.digest == wanted.digest or last.costs == wanted.costs):
        return Amendment()
    if last.priced and not wanted.priced:
        return Amendment()
    if same_place and not last.priced and wanted.priced:
        # Tokens and call are in the closed month already; only their cost was unknown.
        return Amendment(part=Part.REBOOKING, corrects_id=last.charge_id, calls=0)
    return Amendment(tuple(standing), Part.REBOOKING, last.charge_id, wanted.calls)


def booking_moment(closed: Collection[date], at: datetime) -> datetime:
    """When a correction is booked: now, or the first moment of the next month that is not closed."""
    month = at.date().replace(day=1)
    while month in closed:
        month = (month.replace(year=month.year + 1, month=1) if month.month == 12
                 else month.replace(month=month.month + 1))  # fmt: skip
        at = datetime(month.year, month.month, 1, tzinfo=at.tzinfo)
    return at
