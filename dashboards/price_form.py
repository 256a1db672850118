"""The form that sets a rate of one's own: it asks the API for what a script would ask it for."""

from typing import Any

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from dashboards import acts, parts, shell
from dashboards.proof import bucket_name
from dashboards.view import View
from models.core.vocabulary import BUCKETS

PROVIDER, MODEL, BUCKET, PRICE, SINCE, REPLACE, SAVE = (
    "rate-provider", "rate-model", "rate-bucket", "rate-price", "rate-since", "rate-replace", "rate-save",
)  # fmt: skip


def form(view: View) -> Component:
    """Provider and model as calls name them, bucket, price, since when."""
    fields = html.Div(
        [
            dmc.TextInput(
                id=PROVIDER, label="Provider", value=view.get("rate_provider"), placeholder="openai", size="sm"
            ),
            dmc.TextInput(id=MODEL, label="Model", value=view.get("rate_model"), placeholder="gpt-4o", size="sm"),
            dmc.Select(
                id=BUCKET,
                label="Bucket",
                data=[{"value": bucket.value, "label": bucket_name(bucket.value)} for bucket in BUCKETS],
                value="input",
                allowDeselect=False,
                size="sm",
            ),
            dmc.TextInput(
                id=PRICE, label="USD per million", placeholder="2.50", inputProps={"inputMode": "decimal"}, size="sm"
            ),
            dmc.DateInput(
                id=SINCE, label="Since, UTC (empty: always)", clearable=True, valueFormat="YYYY-MM-DD", size="sm"
            ),
            dmc.Checkbox(id=REPLACE, label="End an open rate of the same thing there", checked=True, mt=26),
        ],
        className="fields",
    )
    buttons = html.Div(
        [
            html.Button("Set the rate", id=SAVE, className="button main", n_clicks=0),
            dcc.Link("Leave it", href=view.href(form=None, rate_provider=None, rate_model=None), className="button"),
        ],
        className="chips",
        style={"marginTop": "12px"},
    )
    return parts.card(
        "Set a rate",
        fields,
        buttons,
        subtitle=f"of project {view.project.name}; it stands above the shipped list",
        foot="What was charged before stays until it is repriced: jevons reprice --from D --to D --dry-run shows the "
        "difference first.",
    )


def body_of(
    provider: str | None, model: str | None, bucket: str, price: str | None, since: str | None, replace: bool
) -> dict[str, Any]:
    """What is asked of POST /api/v1/prices; the API says what is wrong with it."""
    return {
        "provider": (provider or "").strip(),
        "model": (model or "").strip(),
        "bucket": bucket,
        "price_per_m": (price or "").strip().removeprefix("$").replace(",", ""),
        "valid_from": f"{since[:10]}T00:00:00Z" if since else None,
        "end_previous": replace,
    }


def register(app: Dash) -> None:
    """The button sends the request."""

    @app.callback(
        Output(acts.ASKED, "data", allow_duplicate=True),
        Input(SAVE, "n_clicks"),
        State(PROVIDER, "value"),
        State(MODEL, "value"),
        State(BUCKET, "value"),
        State(PRICE, "value"),
        State(SINCE, "value"),
        State(REPLACE, "checked"),
        State(shell.LOCATION, "href"),
        prevent_initial_call=True,
    )
    def save(
        clicks: int | None,
        provider: str | None,
        model: str | None,
        bucket: str,
        price: str | None,
        since: str | None,
        replace: bool,
        href: str,
    ) -> dict[str, Any]:
        if not clicks:
            raise PreventUpdate
        view = shell.current_view(href)
        body = body_of(provider, model, bucket, price, since, replace)
        then = view.href(form=None, rate_provider=None, rate_model=None)
        return {**acts.request(view, "POST", "/prices", body, "The rate is set.", then), "clicks": clicks}
