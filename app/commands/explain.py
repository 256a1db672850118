"""`jevons explain CALL`: quantity times rate per bucket, the rule, and how each count was read."""

import json
from typing import Annotated, Any

import typer

from app.options import AsJson, DataDir, configure


def explain(
    call: Annotated[str, typer.Argument(help="TRACE or TRACE/SPAN: hex ids as pages and API show them.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show how the cost of a call came about."""
    configure(data_dir=data_dir)
    found = _find(call)
    if as_json:
        print(json.dumps(found))
        return
    for each in found:
        _show(each)


def _find(text: str) -> list[Any]:
    from app import wiring
    from models.core.errors import BadInput, NotFound
    from models.core.queries import CallQuery

    trace, _, span = text.lower().partition("/")
    if len(trace) != 32 or any(digit not in "0123456789abcdef" for digit in trace) or (span and len(span) != 16):
        raise BadInput(f"{text!r} names no call. Write TRACE (32 hex digits) or TRACE/SPAN (and 16 hex digits).")
    reader = wiring.current().reader
    projects = tuple(project.id for project in reader.projects())
    page = reader.calls(CallQuery(projects=projects, trace_id=bytes.fromhex(trace), limit=1_000))
    found = [call for call in page.calls if not span or call["span_id"] == span]
    if not found:
        raise NotFound(f"there is no call {text}. `jevons status` says whether spans still wait to be derived.")
    return found


def _show(call: Any) -> None:
    charge = call["charge"]
    print(f"call {call['trace_id']}/{call['span_id']}  {call['provider']} {call['model']}  ended {call['end']}")
    print(f"  usage {call['usage_source']}, counts read as {call['convention']}: {call['convention_reason'] or '-'}")
    for bucket, read in call["provenance"].items():
        print(f"  {bucket:<20} {read.get('value')!s:>12}  from {read.get('attribute')} of span {read.get('span_id')}")
    if charge is None:
        print("  waits for its price")
        return
    for line in charge["lines"]:
        price, cost = line["price_per_m"], line["cost"]
        known = f"x {price} per million = {cost}" if cost is not None else "has no cost"
        print(f"  {line['bucket']:<20} {line['quantity']:>12} {known}  [{line['rate_source'] or 'no rate'}]")
        if line["assumption"]:
            print(f"  {'':<20} {line['assumption']}")
    if charge["price_status"] == "unpriced":
        print(f"  unpriced: {charge['unpriced_reason']}")
    else:
        list_cost, billed, effective = charge["list_cost"], charge["billed_cost"], charge["effective_cost"]
        print(f"  list {list_cost}, billed {billed}, effective {effective} USD; price book {charge['price_book']}")
    for share in call["shares"]:
        print(f"  {share['agent']:<20} carries {share['effective_cost']} USD  [{share['rule']}, {share['method']}]")


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(explain)
