"""Costs per agent path as a tree: self, inclusive, and what one walks when it is drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from dashboards.data import add
from models.core.queries import CostRow
from models.core.vocabulary import CostBasis


@dataclass(slots=True)
class Agent:
    """An agent at its place in the tree. `row` is None for one that made no call of its own."""

    path: str
    depth: int
    row: CostRow | None
    children: list["Agent"] = field(default_factory=list["Agent"])
    own: Decimal | None = None
    inclusive: Decimal | None = None

    @property
    def name(self) -> str:
        """Its own name, the last of the path."""
        return self.path.rsplit("/", 1)[-1]

    def below(self) -> Iterator["Agent"]:
        """Itself and every agent under it, parents first."""
        yield self
        for child in self.children:
            yield from child.below()

    @property
    def paths(self) -> list[str]:
        """The paths with calls of their own at or under it."""
        return [agent.path for agent in self.below() if agent.row is not None]


def tree(rows: Sequence[CostRow], basis: CostBasis) -> list[Agent]:
    """Roots by size, each with its children by size.

    Laws   a node's inclusive cost is its own plus its children's; the roots' inclusive costs sum to the rows'.
    """
    known: dict[str, Agent] = {}
    roots: list[Agent] = []

    def place(path: str) -> Agent:
        if path in known:
            return known[path]
        agent = known[path] = Agent(path, path.count("/"), None, own=Decimal(0))
        if "/" in path:
            place(path.rsplit("/", 1)[0]).children.append(agent)
        else:
            roots.append(agent)
        return agent

    for row in rows:
        path = row.keys.get("agent_path")
        if path is not None:
            agent = place(path)
            agent.row, agent.own = row, row.cost(basis)
    for root in roots:
        _sum(root)
    roots.sort(key=_size)
    return roots


def _sum(agent: Agent) -> None:
    for child in agent.children:
        _sum(child)
    agent.children.sort(key=_size)
    agent.inclusive = add([agent.own, *(child.inclusive for child in agent.children)])


def _size(agent: Agent) -> tuple[bool, Decimal, str]:
    return agent.inclusive is None, -(agent.inclusive or Decimal(0)), agent.path
