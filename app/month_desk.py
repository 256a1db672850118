"""Answers for the chargeback page, out of the store."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from pydantic import ValidationError

from app import wiring
from app.routes.tag_rules import RuleBody
from models.core.closing import CheckLine, Move, PeriodState, RuleDraft, RuleLine
from models.core.errors import BadInput
from models.core.payers import TIED_ON_PAGES
from models.costs.attribution_rules import Match, TagRule
from models.store.attributed import known_payers
from models.store.period_checks import checks_of
from models.store.periods import list_periods
from models.store.reattribution import dry_run
from models.store.tag_rules import list_rules, live_rules, usable

WORDS = {Match.EQUALS: "is", Match.PREFIX: "starts with", Match.GLOB: "looks like", Match.REGEX: "matches"}


class StoreMonthDesk:
    """Answers `dashboards.month_desk.MonthDesk`."""

    def months(self, project_id: int) -> Sequence[tuple[date, str]]:
        """Months with charges or a state, the newest first."""
        with wiring.transaction() as connection:
            return [(row.month, row.state) for row in list_periods(connection, [project_id])]

    def period(self, project_id: int, month: date) -> PeriodState:
        """One month with its checklist."""
        with wiring.transaction() as connection:
            [row] = list_periods(connection, [project_id], month)
            checks = checks_of(connection, project_id, month, datetime.now(UTC), most_charges=TIED_ON_PAGES)
        last = row.snapshots[0] if row.snapshots else None
        return PeriodState(
            month=month,
            state=row.state,
            changed_by=row.changed_by,
            changed_at=row.changed_at,
            reason=row.reason,
            checks=[
                CheckLine(name=one.name, state=one.state, value=one.value, what=one.what, todo=one.todo)
                for one in checks
            ],
            snapshot=last.number if last else None,
            sha256=last.sha256 if last else None,
        )

    def rules(self, project_id: int) -> Sequence[RuleLine]:
        """The rules in force, in words."""
        with wiring.transaction() as connection:
            return [_line(kept.rule) for kept in list_rules(connection, project_id)]

    def preview(self, project_id: int, draft: RuleDraft | None) -> tuple[int, Sequence[Move]]:
        """What the rules in force, with one more, would move in open months.

        Raises   BadInput.
        """
        with wiring.transaction() as connection:
            rules = list(live_rules(connection, project_id))
            if draft is not None:
                rules.append(_rule(draft, max((rule.rule_id for rule in rules), default=0) + 1))
            usable(rules)
            moved = dry_run(connection, project_id, rules)
        return moved.calls, [Move(**row) for row in moved.moves.drop("unpriced_calls").to_dicts()]

    def payers(self, project_id: int, target: str) -> Sequence[str]:
        """Teams or cost centres that are known."""
        with wiring.transaction() as connection:
            return known_payers(connection, project_id, target)


def _rule(draft: RuleDraft, number: int) -> TagRule:
    try:
        return RuleBody.model_validate(
            {
                "target": draft.target,
                "value": draft.value,
                "conditions": [{"dimension": draft.dimension, "match": draft.match, "pattern": draft.pattern}],
                "valid_from": f"{draft.valid_from}T00:00:00Z" if draft.valid_from else None,
            }
        ).rule(number)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise BadInput(f"{first['loc'][-1]}: {first['msg']}.") from None


def _line(rule: TagRule) -> RuleLine:
    asks = " and ".join(f"{each.dimension} {WORDS[each.match]} {each.pattern}" for each in rule.conditions)
    begins = f"from {rule.valid_from:%Y-%m-%d}" if rule.valid_from else ""
    ends = f"until {rule.valid_to:%Y-%m-%d}" if rule.valid_to else ""
    return RuleLine(
        id=rule.rule_id, target=rule.target, value=rule.value, asks=asks, period=" ".join(filter(None, (begins, ends)))
    )
