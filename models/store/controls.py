"""Budgets and channels in the database. The caller owns the transaction; removed ones keep their history."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, Row, and_, case, insert, select, update

from models.core.controls import Budget, Channel, ChannelKind
from models.core.errors import BadInput, NotFound
from models.tables.controls import BudgetRow, ChannelRow


def add_channel(
    connection: Connection,
    project_id: int,
    *,
    kind: ChannelKind,
    name: str,
    url: str,
    secret: str | None,
    filters: Sequence[str],
) -> Channel:
    """Keep a channel; one without filters takes every alert of the project from now on."""
    values = {"project_id": project_id, "kind": kind.value, "name": name, "url": url, "secret": secret}
    statement = insert(ChannelRow).values(**values, filters=list(filters)).returning(*ChannelRow.__table__.columns)
    return _channel(connection.execute(statement).one())


def list_channels(connection: Connection, project_ids: Iterable[int]) -> list[Channel]:
    """Channels in use, the oldest first."""
    rows = connection.execute(
        select(*ChannelRow.__table__.columns)
        .where(ChannelRow.project_id.in_(list(project_ids)), ChannelRow.removed_at.is_(None))
        .order_by(ChannelRow.id)
    )
    return [_channel(row) for row in rows]


def remove_channel(connection: Connection, project_id: int, channel_id: int, at: datetime) -> None:
    """Send nothing there any more.

    Raises   NotFound.
    """
    statement = (
        update(ChannelRow)
        .where(ChannelRow.project_id == project_id, ChannelRow.id == channel_id, ChannelRow.removed_at.is_(None))
        .values(removed_at=at)
    )
    if not connection.execute(statement).rowcount:
        raise NotFound(f"there is no channel {channel_id}. `GET /api/v1/channels` lists them.")


def add_budget(
    connection: Connection,
    project_id: int,
    *,
    name: str,
    filters: Sequence[str],
    period: str,
    rolling_days: int | None,
    amount: Decimal,
    thresholds: Sequence[int],
    channels: Sequence[int],
    mode: str,
    owner: str | None,
) -> Budget:
    """Keep a budget.

    Raises   BadInput naming channels that do not exist.
    """
    _check_channels(connection, project_id, channels)
    values = {"name": name, "period": period, "rolling_days": rolling_days, "amount": amount, "mode": mode}
    statement = (
        insert(BudgetRow)
        .values(
            project_id=project_id,
            filters=list(filters),
            thresholds=sorted(set(thresholds)),
            channels=list(channels),
            owner=owner,
            **values,
        )
        .returning(*BudgetRow.__table__.columns)
    )
    return _budget(connection.execute(statement).one())


def change_budget(
    connection: Connection,
    project_id: int,
    budget_id: int,
    *,
    name: str,
    filters: Sequence[str],
    period: str,
    rolling_days: int | None,
    amount: Decimal,
    thresholds: Sequence[int],
    channels: Sequence[int],
    mode: str,
    owner: str | None,
) -> Budget:
    """Put other terms in the place of a budget's; another amount, filter or period makes another revision of it.

    Raises   NotFound; BadInput naming channels that do not exist.
    """
    _check_channels(connection, project_id, channels)
    measured = {"filters": list(filters), "period": period, "rolling_days": rolling_days, "amount": amount}
    is_same = and_(*(getattr(BudgetRow, name).is_not_distinct_from(value) for name, value in measured.items()))
    row = connection.execute(
        update(BudgetRow)
        .where(BudgetRow.project_id == project_id, BudgetRow.id == budget_id, BudgetRow.removed_at.is_(None))
        .values(
            name=name,
            thresholds=sorted(set(thresholds)),
            channels=list(channels),
            mode=mode,
            owner=owner,
            revision=BudgetRow.revision + case((is_same, 0), else_=1),
            **measured,
        )
        .returning(*BudgetRow.__table__.columns)
    ).one_or_none()
    if row is None:
        raise NotFound(f"there is no budget {budget_id}. `GET /api/v1/budgets` lists them.")
    return _budget(row)


def list_budgets(connection: Connection, project_ids: Iterable[int] | None = None) -> list[Budget]:
    """Budgets in force, the oldest first; of all projects where none is named."""
    statement = select(*BudgetRow.__table__.columns).where(BudgetRow.removed_at.is_(None)).order_by(BudgetRow.id)
    if project_ids is not None:
        statement = statement.where(BudgetRow.project_id.in_(list(project_ids)))
    return [_budget(row) for row in connection.execute(statement)]


def remove_budget(connection: Connection, project_id: int, budget_id: int, at: datetime) -> None:
    """End a budget.

    Raises   NotFound.
    """
    statement = (
        update(BudgetRow)
        .where(BudgetRow.project_id == project_id, BudgetRow.id == budget_id, BudgetRow.removed_at.is_(None))
        .values(removed_at=at)
    )
    if not connection.execute(statement).rowcount:
        raise NotFound(f"there is no budget {budget_id}. `GET /api/v1/budgets` lists them.")


def _check_channels(connection: Connection, project_id: int, channels: Sequence[int]) -> None:
    known = {channel.id for channel in list_channels(connection, [project_id])}
    missing = [channel for channel in channels if channel not in known]
    if missing:
        raise BadInput(
            f"there is no channel {', '.join(map(str, missing))}. `GET /api/v1/channels` lists them.",
            [{"field": "channels", "reason": f"no channel {channel}"} for channel in missing],
        )


def _channel(row: Row) -> Channel:
    return Channel(
        id=row.id,
        project_id=row.project_id,
        kind=ChannelKind(row.kind),
        name=row.name,
        url=row.url,
        secret=row.secret,
        filters=tuple(row.filters),
        created_at=row.created_at,
    )


def _budget(row: Row) -> Budget:
    return Budget(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        filters=tuple(row.filters),
        period=row.period,
        rolling_days=row.rolling_days,
        amount=row.amount,
        thresholds=tuple(row.thresholds),
        channels=tuple(row.channels),
        mode=row.mode,
        owner=row.owner,
        created_at=row.created_at,
        revision=row.revision,
    )
