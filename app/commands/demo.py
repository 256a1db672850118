"""`jevons demo`: the bundled sample in the running instance."""

import json

import typer

from app.options import AsJson, DataDir, configure


def demo(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Load the bundled sample, real captured traces, into a project of its own. Loading it twice loads it once."""
    chosen = configure(data_dir=data_dir)
    from app.demo import PROJECT, load
    from app.runtime import running

    loaded = load(show_progress=not as_json)
    instance = running(chosen.data_dir)
    url = None if instance is None else f"{instance.base_url}/?project={PROJECT}"
    if as_json:
        print(json.dumps({**loaded.as_json(), "project": PROJECT, "url": url}))
        return
    print(f"{loaded.records} records of {loaded.files} files are in the project {PROJECT}, priced within seconds")
    print(f"look at them: {url or f'the project {PROJECT} of the pages'}")


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(demo)
