"""`jevons import`: session files and spend logs of tools that emit no OTLP."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.options import AsJson, DataDir, configure

if TYPE_CHECKING:
    from ingest.transcripts.common import Imported

SHOWN_REJECTIONS = 20


class Tool(StrEnum):
    """Whose files are read."""

    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    GEMINI_CLI = "gemini-cli"
    LITELLM = "litellm"


def reader_of(tool: Tool) -> "Callable[[Sequence[Path]], Imported]":
    """The importer of a tool."""
    from ingest.transcripts import claude_code, codex, gemini_cli, litellm

    return {
        Tool.CLAUDE_CODE: claude_code.read_sessions,
        Tool.CODEX: codex.read_sessions,
        Tool.GEMINI_CLI: gemini_cli.read_sessions,
        Tool.LITELLM: litellm.read_spend_logs,
    }[tool]


def import_files(
    tool: Annotated[Tool, typer.Argument(help="Whose files they are.")],
    paths: Annotated[list[Path], typer.Argument(help="Session files or spend logs, or directories of them.")],
    project: Annotated[str | None, typer.Option(help="Project to load into; made when missing.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Load requests from session files and spend logs. Loading them twice loads them once."""
    configure(data_dir=data_dir)
    from app import wiring
    from app.importing import store_imported
    from models.store.projects import ensure_project

    imported = reader_of(tool)(paths)
    parts = wiring.current()
    project_id = 1
    if project is not None:
        with wiring.transaction() as connection:
            project_id = ensure_project(connection, project).id
    stored = store_imported(parts.engine, project_id, imported.spans, show_progress=not as_json)
    parts.hint("derive")
    if as_json:
        print(
            json.dumps(
                {
                    "files": imported.files,
                    "requests": len(imported.spans),
                    "stored": stored.stored,
                    "already_stored": stored.duplicates,
                    "repeated": imported.repeated,
                    "rejections": [rejection.as_json() for rejection in imported.rejections],
                }
            )
        )
        return
    print(
        f"{imported.files} files: {len(imported.spans)} requests, {stored.stored} new, "
        f"{stored.duplicates} already stored, {imported.repeated} repeats within the files"
    )
    for rejection in imported.rejections[:SHOWN_REJECTIONS]:
        print(f"  not taken: {rejection.position}: {rejection.reason}")
    if len(imported.rejections) > SHOWN_REJECTIONS:
        print(f"  and {len(imported.rejections) - SHOWN_REJECTIONS} more")


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("import")(import_files)
