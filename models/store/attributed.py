"""Names that costs were attributed to, for pickers."""

from collections.abc import Sequence

from sqlalchemy import Connection, text


def known_payers(connection: Connection, project_id: int, target: str, most: int = 200) -> Sequence[str]:
    """Teams (`team`) or cost centres (`cost_center`) that calls of a project were attributed to, by name."""
    column = {"team": "team", "cost_center": "cost_center"}[target]
    return list(
        connection.execute(
            text(
                f"SELECT DISTINCT {column} FROM attributions WHERE project_id = :project_id AND {column} IS NOT NULL "
                f"ORDER BY {column} LIMIT :most"
            ),
            {"project_id": project_id, "most": most},
        ).scalars()
    )
