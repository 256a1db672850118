"""`jevons hardware list|estimate`: the catalogue, and what one request costs on a piece of it."""

import json
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from app.options import AsJson, DataDir, configure

hardware = typer.Typer(name="hardware", help="Accelerators and what requests cost on them.", no_args_is_help=True)


def _money(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is no number") from None


@hardware.command("list")
def list_hardware(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show accelerators, models and storage tiers with where each figure comes from."""
    from app.hardware import catalogue_of
    from models.costs.hardware_listing import listing

    catalogue = catalogue_of(configure(data_dir=data_dir).data_dir)
    if as_json:
        print(json.dumps(listing(catalogue)))
        return
    print(f"{'accelerator':<20} {'kind':<16} {'memory GB':>10} {'TB/s':>9}  status")
    for name, each in sorted(catalogue.accelerators.items()):
        memory = f"{each.memory_bytes.value / 1e9:.4g}" if each.memory_bytes else "-"
        speed = f"{each.memory_bytes_per_second.value / 1e12:.4g}" if each.memory_bytes_per_second else "-"
        print(f"{name:<20} {each.kind:<16} {memory:>10} {speed:>9}  {each.status}")
    print(f"\n{'model':<22} {'parameters':>11} {'layers':>7} {'context':>9}")
    for name, each in sorted(catalogue.architectures.items()):
        print(f"{name:<22} {each.parameters.total / 1e9:>9.1f} B {each.layers:>7} {each.context:>9}")


@hardware.command("estimate")
def estimate_request(
    accelerator: Annotated[str, typer.Option(help="Id of the catalogue, such as h100_sxm.")],
    chips: Annotated[int, typer.Option(help="Chips of the replica.")],
    model: Annotated[str, typer.Option(help="Id of the catalogue, such as llama-3.1-70b.")],
    input_tokens: Annotated[int, typer.Option(help="Uncached input.")],
    output_tokens: Annotated[int, typer.Option(help="Output with reasoning.")],
    precision: Annotated[str, typer.Option(help="Of the weights.")] = "fp8",
    kv_precision: Annotated[str, typer.Option(help="Of the KV cache.")] = "bf16",
    concurrency: Annotated[float, typer.Option(help="Requests the replica serves at a time.")] = 1.0,
    cache_read_tokens: Annotated[int, typer.Option(help="Input read from the cache.")] = 0,
    usd_per_chip_hour: Annotated[str | None, typer.Option(help="Price of one chip for an hour.")] = None,
    calibration: Annotated[str, typer.Option(help="prior or hardware_fit.")] = "prior",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Estimate accelerator-seconds, time, memory and dollars of one request under a steady load."""
    from app.hardware import catalogue_of
    from models.costs.hardware_estimate import EstimateRequest, estimate

    request = EstimateRequest(
        accelerator=accelerator,
        chips=chips,
        model=model,
        precision=precision,
        kv_precision=kv_precision,
        concurrency=concurrency,
        input_tokens=input_tokens,
        cache_read_tokens=cache_read_tokens,
        output_tokens=output_tokens,
        usd_per_chip_hour=None if usd_per_chip_hour is None else _money(usd_per_chip_hour),
        calibration=calibration,
    )
    found = estimate(request, catalogue_of(configure(data_dir=data_dir).data_dir)).as_json()
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if name != "assumptions":
            print(f"{name.replace('_', ' '):<26} {'unknown' if value is None else value}")
    for note in found["assumptions"]:
        print(f"  · {note}")


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    cli.add_typer(hardware)
