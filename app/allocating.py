"""Sharing the calls of open months by the allocation rules in force, page by page; a dry run rolls every page back."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from app import wiring
from models.core.money import plain
from models.store.allocations import Key, allocate_calls, calls_to_share, shares_of
from models.store.audit import append_audit
from models.store.link_groups import link_group

PAGE = 2_000
ZERO = Decimal(0)


@dataclass(slots=True)
class Sharing:
    """What sharing did, or would do."""

    calls: int = 0
    """Looked at."""
    shared: int = 0
    not_shared: int = 0
    """Met by a rule, but without the agents or the output that it asks for."""
    changed: int = 0
    """Charges that were added, or would be."""
    carried: dict[tuple[str, str, str], list[Any]] = field(default_factory=dict[tuple[str, str, str], list[Any]])
    """(rule, method, agent) → calls and effective cost."""

    def as_json(self) -> dict[str, Any]:
        """The outcome as shown outside."""
        return {
            "calls": self.calls,
            "shared": self.shared,
            "not_shared": self.not_shared,
            "changed": self.changed,
            "rows": [
                {"rule": rule, "method": method, "agent": agent, "calls": calls, "effective_cost": plain(cost)}
                for (rule, method, agent), (calls, cost) in sorted(self.carried.items())
            ],
        }


def share_calls(project_id: int, *, actor: str, dry_run: bool) -> Sharing:
    """Share every call of an open month that a rule meets, and take back shares that no rule gives any more.

    Safe to repeat and to break off: each page is a transaction, and what is equal is not written.
    """
    done = Sharing()
    after: Key | None = None
    while True:
        with wiring.current().engine.connect() as connection:
            keys = calls_to_share(connection, project_id, after, PAGE)
            if not keys:
                break
            after = keys[-1]
            link_group(connection, project_id, {key[0] for key in keys})
            _share_page(connection, project_id, keys, done)
            if dry_run:
                connection.rollback()
            else:
                connection.commit()
    if not dry_run and done.changed:
        with wiring.transaction() as connection:
            append_audit(
                connection,
                actor=actor,
                action="allocation.apply",
                subject="open months",
                at=datetime.now(UTC),
                after=done.as_json(),
                project_id=project_id,
            )
    return done


def _share_page(connection: Connection, project_id: int, keys: list[Key], done: Sharing) -> None:
    found = allocate_calls(connection, project_id, keys)
    done.calls += len(keys)
    done.shared, done.not_shared = done.shared + found.shared, done.not_shared + found.not_shared
    done.changed += found.changed
    for rows in shares_of(connection, [(project_id, *key) for key in keys]).values():
        for row in rows:
            sums = done.carried.setdefault((row.rule, row.method, row.agent), [0, ZERO])
            sums[0] += 1
            sums[1] += row.effective_cost
