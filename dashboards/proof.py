"""The proof of a price: buckets × tokens × rate = cost, the price book, and how each count was read."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboards import format as fmt
from dashboards import parts
from dashboards.view import View

BUCKET_NAMES = {
    "input": "Input, uncached",
    "cache_read": "Cache read",
    "cache_write_5m": "Cache write, 5 min",
    "cache_write_1h": "Cache write, 1 h",
    "cache_write_unknown": "Cache write",
    "tool_use_input": "Tool prompt",
    "output": "Output",
    "reasoning": "Reasoning",
    "web_search_requests": "Web searches",
    "code_execution_requests": "Code executions",
    "requests": "Requests",
}
DIGITS = 6
"""Digits after the point of one call."""


def bucket_name(bucket: str) -> str:
    """A bucket in words."""
    return BUCKET_NAMES.get(bucket, bucket.replace("_", " ").capitalize())


def amount(text: str | Decimal | None) -> Decimal | None:
    """A decimal string of the API as a number."""
    return None if text is None else Decimal(text)


def charge_cost(call: Mapping[str, Any], basis: str) -> Decimal | None:
    """What a call cost on a basis; None while unpriced."""
    return amount((call.get("charge") or {}).get(f"{basis}_cost"))


def proof(view: View, call: Mapping[str, Any], close: str | None = None) -> Component:
    """The side card of one call."""
    charge = call.get("charge") or {}
    state = parts.badge("ok", "ok", "check") if call["status"] == "ok" else parts.badge("error", "critical", "warning")
    usage = parts.badge(f"usage {call['usage_source']}", "" if call["usage_source"] == "reported" else "warn")
    who = [call.get("model") or "no model", call.get("provider") or "no provider", call.get("agent") or "no agent"]
    end = dcc.Link(parts.icon("close"), href=close, className="button plain", title="Close") if close else None
    return parts.card(
        ["Model call ", state, " ", usage],
        _lines(view, call, charge),
        html.P(_book(charge), className="note"),
        *_shares(view, call),
        html.H3("How the tokens were read"),
        _read(call),
        html.P(_convention(call), className="note"),
        html.Hr(className="rule"),
        parts.facts(*_facts(view, call, charge)),
        subtitle=" · ".join(who),
        end=end,
    )


def _lines(view: View, call: Mapping[str, Any], charge: Mapping[str, Any]) -> Component:
    lines = charge.get("lines") or []
    cost = charge_cost(call, view.basis.value)
    if lines:
        rows = [
            (
                line["bucket"],
                line.get("quantity"),
                amount(line.get("price_per_m")),
                amount(line.get(f"{view.basis.value}_cost")),
            )
            for line in lines
        ]
    else:
        rows = [(name, count, None, None) for name, count in call["tokens"].items() if count]
    body = [
        html.Tr(
            [
                html.Td(bucket_name(bucket)),
                parts.number(fmt.count(count)),
                parts.number(fmt.rate(price)),
                parts.number(fmt.money(own, DIGITS), fmt.money_exact(own)),
            ]
        )
        for bucket, count, price, own in rows
    ]
    total = [
        html.Td("Call"),
        parts.number(fmt.count(sum(count or 0 for count in call["tokens"].values()))),
        parts.number(""),
        parts.number(fmt.money(cost, DIGITS), fmt.money_exact(cost)),
    ]
    head = [("Bucket", False), ("Tokens", True), ("$ / M", True), ("Cost", True)]
    return parts.table(head, [*body, html.Tr(total, className="total")], "Buckets and rates of the call", "proof")


def _shares(view: View, call: Mapping[str, Any]) -> list[Component]:
    """What each agent of a shared request carries, with the rule's name on every row."""
    rows = [
        html.Tr(
            [
                html.Td(share["agent"]),
                html.Td(f"{share['rule']} ({share['method'].replace('_', ' ')})"),
                parts.number(fmt.money(cost, DIGITS), fmt.money_exact(cost)),
            ]
        )
        for share in call.get("shares") or ()
        for cost in (amount(share[f"{view.basis.value}_cost"]),)
    ]
    head = [("Agent", False), ("Rule", False), ("Carries", True)]
    return [parts.table(head, rows, "Shares of the call")] if rows else []


def _book(charge: Mapping[str, Any]) -> str:
    if not charge:
        return "Not rated yet."
    if charge.get("price_status") == "unpriced":
        reason = charge.get("unpriced_reason") or charge.get("reason") or "no rate was in force"
        return f"Unpriced: {reason}. It is in no total."
    sources = dict.fromkeys(line["rate_source"] for line in charge.get("lines") or [] if line.get("rate_source"))
    assumed = dict.fromkeys(line["assumption"] for line in charge.get("lines") or [] if line.get("assumption"))
    said = f"Price book {charge.get('price_book') or fmt.UNKNOWN}"
    if sources:
        said += f", rates from {', '.join(sources)}"
    if assumed:
        said += f"; assumed: {'; '.join(assumed)}"
    return f"{said}."


def _read(call: Mapping[str, Any]) -> Component:
    rows: list[html.Tr] = []
    # An attribute behind several buckets is told for those it filled.
    filled = {bucket for bucket, count in call["tokens"].items() if count}
    read = {str(of.get("attribute")) for bucket, of in (call.get("provenance") or {}).items() if bucket in filled}
    for bucket, count in call["tokens"].items():
        source = (call.get("provenance") or {}).get(bucket)
        attribute = str((source or {}).get("attribute", "derived"))
        if not count and (source is None or attribute in read):
            continue
        read.add(attribute)
        span = (source or {}).get("span_id")
        elsewhere = bool(span) and span != call["span_id"]
        shown = f"{attribute} (span {str(span)[:8]})" if elsewhere else attribute
        rows.append(
            html.Tr(
                [
                    html.Td(bucket_name(bucket)),
                    html.Td(shown, className="mono wrap", title=f"{attribute} = {(source or {}).get('value')}"),
                ]
            )
        )
    if not rows:
        return html.P("The span carries no usage.", className="note")
    return parts.table([("Bucket", False), ("Attribute", False)], rows, "Where each count was read")


def _convention(call: Mapping[str, Any]) -> list[Any]:
    meaning = {
        "inclusive": " (input contains its cached part)",
        "exclusive": " (input comes without its cached part)",
    }.get(call["convention"], "")
    reason = call.get("convention_reason")
    known = f", {reason}" if reason else ""
    return [
        "Convention: ",
        html.B(call["convention"]),
        f"{meaning}{known}. Read from {call['instrumentation'] or 'an unnamed scope'}.",
    ]


def _facts(view: View, call: Mapping[str, Any], charge: Mapping[str, Any]) -> list[tuple[str, Any]]:
    started = datetime.fromisoformat(str(call["start"]).replace("Z", "+00:00"))
    cost, without = charge_cost(call, view.basis.value), amount(charge.get("cost_without_cache"))
    pairs: list[tuple[str, Any]] = [
        ("Started", f"{started.day} {started:%b %H:%M:%S}.{started.microsecond // 1000:03d} UTC"),
        ("Duration", f"{float(call['duration_ms']) / 1000:,.3g} s"),
        ("Span", html.Span(f"{call['span_id']}", className="mono")),
    ]
    for name, key in (("Task", "task"), ("Session", "session"), ("Team", "team"), ("Service tier", "service_tier")):
        value = call.get(key)
        if value:
            inferred = " (inferred)" if key in (call.get("inferred") or ()) else ""
            shown: Any = f"{value}{inferred}"
            if key in ("task", "session", "team"):
                shown = dcc.Link(shown, href=view.with_filter((key, value), path="/calls"), className="more")
            pairs.append((name, shown))
    if without is not None and cost is not None:
        pairs.append(("Without the cache", fmt.money(without, DIGITS)))
        pairs.append(("Saved by cache", fmt.money(without - cost, DIGITS)))
    return pairs
