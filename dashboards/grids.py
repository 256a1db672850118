"""AG Grid in the look of the pages: theme, columns, bars in cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import dash_ag_grid as dag
from dash import html

from dashboards.parts import aria

# Every colour is a variable of the page, so one definition serves both themes.
_THEME = (
    "themeQuartz.withParams({fontFamily: 'inherit', fontSize: 13, headerFontSize: 12, headerFontWeight: 500,"
    " backgroundColor: 'transparent', foregroundColor: 'var(--ink)', headerBackgroundColor: 'transparent',"
    " headerTextColor: 'var(--ink-3)', borderColor: 'var(--line)', rowBorder: {color: 'var(--line)'},"
    " headerRowBorder: {color: 'var(--line)'}, rowHoverColor: 'var(--surface-2)',"
    " selectedRowBackgroundColor: 'var(--accent-bg)', accentColor: 'var(--accent)', wrapperBorder: false,"
    " headerColumnResizeHandleColor: 'transparent', cellHorizontalPadding: 10,"
    " pinnedRowBorder: {color: 'var(--line-2)'}})"
)
ROW, TRACE_ROW, HEAD = 32, 26, 34
_SORTED = "setEventData(params.api.getColumnState())"


def text_column(field: str, name: str, **more: Any) -> dict[str, Any]:
    """A column of words, at the left."""
    return {"field": field, "headerName": name, "sortable": False, **more}


def number_column(field: str, name: str, drills: bool = False, **more: Any) -> dict[str, Any]:
    """A column of numbers, at the right: sorted by `field`, shown as `field_text`, in full on hover as `field_full`."""
    return {
        "field": field,
        "headerName": name,
        "type": "rightAligned",
        "valueFormatter": {"function": f"params.data.{field}_text"},
        "tooltipField": f"{field}_full",
        "cellClass": ["ag-right-aligned-cell", "link"] if drills else ["ag-right-aligned-cell"],
        "comparator": {"function": "(a ?? -Infinity) - (b ?? -Infinity)"},
        **more,
    }


def bar_style(field: str, more: str = "") -> dict[str, str]:
    """A cell style that paints the CSS gradient in a field of the row behind the number, and what else is said."""
    # The parentheses matter: without them the braces read as a block and nothing is drawn.
    return {
        "function": f"({{backgroundImage: params.data.{field}, backgroundRepeat: 'no-repeat',"
        f" backgroundSize: 'calc(100% - 12px) 62%', backgroundPosition: '6px center'{', ' + more if more else ''}}})"
    }


def bar(share: float, variable: str = "--bar") -> str:
    """A gradient that fills a share of the cell from the left."""
    end = f"{max(0.0, min(1.0, share)) * 100:.2f}%"
    return f"linear-gradient(90deg, var({variable}) {end}, transparent {end})"


def interval(start: float, end: float, colour: str) -> str:
    """A gradient that fills the cell between two shares: a span on a time axis. It is never thinner than 0.4 %."""
    left = max(0.0, min(start, 0.996)) * 100
    right = min(100.0, max(end * 100, left + 0.4))
    stops = (f"transparent {left:.3f}%", f"{colour} {left:.3f}%", f"{colour} {right:.3f}%", f"transparent {right:.3f}%")
    return f"linear-gradient(90deg, {', '.join(stops)})"


def one_row(which: str = "true") -> dict[str, Any]:
    """The option by which a click selects a row for which the expression holds."""
    return {
        "mode": "singleRow",
        "checkboxes": False,
        "enableClickSelection": True,
        "isRowSelectable": {"function": which},
    }


def order_of(columns: Sequence[Mapping[str, Any]]) -> str:
    """The order that a click on a head left: `cost.desc`, several with a comma; empty where rows stand as they came."""
    chosen = [column for column in columns if column.get("sort")]
    chosen.sort(key=lambda column: column.get("sortIndex") or 0)
    return ",".join(f"{column['colId']}.{column['sort']}" for column in chosen)


def grid(
    name: str,
    columns: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
    *,
    label: str,
    total: Mapping[str, Any] | None = None,
    row_height: int = ROW,
    most_height: int = 640,
    selected: str = "",
    sort: str | None = None,
    **options: Any,
) -> html.Div:
    """A table of any length. Short ones are as high as their rows; long ones scroll and draw what is seen.

    `sort` is the order in the link, such as `cost.desc`; with it the table tells the order that is chosen in it.
    """
    if sort is not None:
        orders = dict(one.split(".", 1) for one in sort.split(",") if "." in one)
        columns = [
            {**column, "sort": orders[column["field"]]} if orders.get(column["field"]) in ("asc", "desc") else column
            for column in columns
        ]
    height = HEAD + row_height * (len(rows) + (1 if total else 0)) + 4
    table = dag.AgGrid(
        id=name,
        columnDefs=list(columns),
        rowData=list(rows),
        getRowId="params.data.id",
        selectedRows={"ids": [selected]} if selected else [],
        getRowStyle={
            "styleConditions": [
                {"condition": "params.data.chosen", "style": {"backgroundColor": "var(--accent-bg)"}},
            ]
        },
        defaultColDef={"resizable": True, "suppressMovable": True, "suppressHeaderMenuButton": True},
        dashGridOptions={
            "theme": {"function": _THEME},
            "rowHeight": row_height,
            "headerHeight": HEAD,
            "pinnedBottomRowData": [total] if total else [],
            "suppressCellFocus": False,
            "tooltipShowDelay": 300,
            "animateRows": False,
            "suppressDragLeaveHidesColumns": True,
            **options,
        },
        eventListeners={} if sort is None else {"sortChanged": [_SORTED]},
        style={"height": f"{min(height, most_height)}px", "width": "100%"},
        className="",
    )
    return html.Div(table, role="region", className="hide-narrow", **aria(label=label))
