"""`jevons up`: the whole product in one command."""

from typing import Annotated

import typer

from app.options import DataDir, configure


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="HTTP: collector, API, pages.", show_default="4318")] = None,
    grpc_port: Annotated[int | None, typer.Option(help="OTLP over gRPC.", show_default="4317")] = None,
    data_dir: DataDir = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.", show_default="2")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Load the bundled sample once ready.")] = False,
) -> None:
    """Start collector, API, pages, workers and, unless their addresses are set, PostgreSQL and Valkey."""
    chosen = configure(host=host, port=port, grpc_port=grpc_port, data_dir=data_dir, workers=workers)
    from app.supervisor import Supervisor

    Supervisor(chosen, load_demo=demo).run()


def register(cli: typer.Typer) -> None:
    """Add `up`."""
    cli.command()(up)
