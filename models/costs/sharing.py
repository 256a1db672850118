"""One billed request, several logical agents: what each of them carries, by a named rule, exactly. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from models.core.errors import NothingToSplitBy
from models.core.money import split_exactly

Outputs = Mapping[str, int | None]
"""Agent → output tokens (None: not told), in the order in which they spoke."""


class SharingRule(StrEnum):
    """How one billed request is split among the agents that took part in it."""

    EQUAL = "equal"
    BY_OUTPUT = "by_output"
    FIRST_PAYER = "first_payer"


@dataclass(slots=True, frozen=True)
class Share:
    """One agent's part of a billed request, under a rule."""

    agent: str
    cost: Decimal
    rule: SharingRule


def sharing_weights(outputs: Outputs, rule: SharingRule) -> dict[str, Decimal]:
    """The weight of each agent under a rule.

    Shapes   n agents in the order in which they spoke → n weights.
    Raises   NothingToSplitBy without agents, or by output where one agent's output is not told or nobody put any out.
    """
    match rule:
        case SharingRule.EQUAL:
            told: dict[str, int | None] = dict.fromkeys(outputs, 1)
        case SharingRule.BY_OUTPUT:
            told = dict(outputs)
        case SharingRule.FIRST_PAYER:
            told = {agent: int(place == 0) for place, agent in enumerate(outputs)}
    weights = {agent: Decimal(weight) for agent, weight in told.items() if weight is not None}
    if len(weights) < len(told) or sum(weights.values()) <= 0:
        raise NothingToSplitBy(Decimal(0), dict.fromkeys(told, 0))
    return weights


def share_lines(costs: Sequence[Decimal], weights: Mapping[str, Decimal]) -> dict[str, list[Decimal]]:
    """Split the lines of a charge, each exactly, so that a bucket's cost is conserved as well as the whole.

    Shapes   n line costs × m agents → agent → n costs; Σ over agents = the line, for every line.
    Units    USD, scale 15.
    """
    parts = [split_exactly(cost, weights) for cost in costs]
    return {agent: [part[agent] for part in parts] for agent in weights}


def share_request(billed: Decimal, outputs: Outputs, rule: SharingRule) -> Sequence[Share]:
    """Split the cost of one request in which several logical agents answered; the shares sum to it exactly.

    Shapes   one cost × n agents in the order in which they spoke → n shares.
    Units    USD, scale 15; output in tokens.
    Raises   as `sharing_weights`.
    """
    weights = sharing_weights(outputs, rule)
    return [Share(agent, cost, rule) for agent, cost in split_exactly(billed, weights).items()]
