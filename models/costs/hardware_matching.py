"""Which deployment served a call: rules on service, model and server address, the most specific first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

PARTS = ("service", "model", "server_address")


@dataclass(slots=True, frozen=True, kw_only=True)
class MatchRule:
    """A deployment and what a call must carry to be taken for it. None matches all, `*` any characters."""

    deployment: str
    service: str | None = None
    model: str | None = None
    server_address: str | None = None
    until: datetime | None = None
    """Calls that end at this moment or later are not taken; None: no end."""

    @property
    def standing(self) -> tuple[int, int, str]:
        """Order of rules: more parts first, then more literal characters, then the name."""
        given = [value for name in PARTS if (value := getattr(self, name)) is not None]
        return (-len(given), -sum(len(value.replace("*", "")) for value in given), self.deployment)


def match_deployments(calls: pl.DataFrame, rules: Sequence[MatchRule]) -> pl.DataFrame:
    """Name the deployment of each call.

    Shapes   a frame with service, model, server_address (n rows) × rules → the same rows and order; `end_at` is
             needed where a rule ends.
    Adds     deployment; null where no rule matches, or a rule needs what the call does not tell.
    """
    found = pl.lit(None, pl.String)
    # The most specific rule is laid on last, so that it is asked first.
    for rule in sorted(rules, key=lambda rule: rule.standing, reverse=True):
        conditions = [
            pl.col(name).str.contains(_pattern(pattern)).fill_null(False)
            for name in PARTS
            if (pattern := getattr(rule, name)) is not None
        ]
        if rule.until is not None:
            conditions.append(pl.col("end_at") < rule.until)
        found = pl.when(pl.all_horizontal(conditions)).then(pl.lit(rule.deployment)).otherwise(found)
    return calls.with_columns(found.alias("deployment"))


def _pattern(text: str) -> str:
    literal = [pl.escape_regex(piece) for piece in text.split("*")]
    return "^" + "(?s:.*)".join(literal) + "$"
