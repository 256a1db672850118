"""The first rows of many projects in the order of an index: no more rows are read than are wanted."""

from collections.abc import Sequence


def newest(table: str, columns: str, projects: Sequence[int], conditions: str, order: str, most: int) -> str:
    """SQL of the first `most` rows over all these projects.

    Shapes   `columns` hold what `order` names, which an index gives for one project; `conditions` are SQL.
    To run   as `PLANNED_ANEW`: a plan made for any number of rows would sort all of them.
    """
    # A look per project, merged while they are read: over `project_id = ANY(…)` no index gives this order. Each look
    # has order and limit of its own, as it is planned by itself. No project has the id 0.
    looks = " UNION ALL ".join(
        f"(SELECT {columns} FROM {table} WHERE project_id = {int(project)} AND {conditions} "
        f"ORDER BY {order} LIMIT {int(most)})"
        for project in projects or (0,)
    )
    return f"SELECT * FROM ({looks}) AS merged ORDER BY {order} LIMIT {int(most)}"
