"""Owners of cost centres, effective-dated: usage before a move stays with the owner of its time."""

from datetime import date

from sqlalchemy import Connection, text


def set_owner(connection: Connection, project_id: int, cost_center: str, owner: str, valid_from: date) -> None:
    """Name who answers for a cost centre from a day on; given twice for one day, the later word counts."""
    connection.execute(
        text(
            "INSERT INTO cost_center_owners (project_id, cost_center, valid_from, owner) "
            "VALUES (:project_id, :cost_center, :valid_from, :owner) "
            "ON CONFLICT (project_id, cost_center, valid_from) DO UPDATE SET owner = excluded.owner"
        ),
        {"project_id": project_id, "cost_center": cost_center, "valid_from": valid_from, "owner": owner},
    )
