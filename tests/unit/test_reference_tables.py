"""The tables of every route and every command: none is missing, none is invented, each asks for the role it says."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fastapi import FastAPI, params
from pydantic import SecretStr
from typer.main import get_command

import app.routes
from app import auth, wiring
from app.api import create_app
from app.cli import build
from app.settings import Settings
from app.wiring import Wiring

DOCS = Path(__file__).parents[2] / "docs"
ROLES = {auth.editor: "editor", auth.viewer: "viewer", auth.principal: "ingest"}
"""By what a route depends on; one that asks for more depends on the lesser as well."""


@pytest.fixture(scope="module")
def server() -> Iterator[FastAPI]:
    """The application; nothing of it is asked, so there need not be a database."""
    parts = Wiring(Settings(secret_key=SecretStr("for tests only")), "postgresql://nowhere.invalid/none")
    yield create_app(parts)
    wiring.use(None)


def dependencies_of(call: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    for hint in get_type_hints(call, include_extras=True).values():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, params.Depends) and mark.dependency is not None:
                yield mark.dependency
                yield from dependencies_of(mark.dependency)


def role_of(path: str, endpoint: Callable[..., Any]) -> str:
    if path.startswith("/v1/"):
        return "ingest"  # Looked up by the collector itself, before the body is read.
    asked = set(dependencies_of(endpoint))
    return next((role for dependency, role in ROLES.items() if dependency in asked), "–")


def routes() -> dict[tuple[str, str], str]:
    modules = pkgutil.iter_modules(app.routes.__path__, "app.routes.")
    routers = [getattr(importlib.import_module(module.name), "router", None) for module in modules]
    return {
        (method, route.path): role_of(route.path, route.endpoint)
        for router in routers
        if router is not None
        for route in router.routes
        for method in route.methods
    }


def test_the_table_of_routes_is_what_the_application_answers(server: FastAPI) -> None:
    rows = re.findall(r"^\| `([A-Z]+)` \| `(/\S+)` \| (\S+) \| .+ \|$", (DOCS / "api.md").read_text(), re.MULTILINE)
    told = {(method, path): role for method, path, role in rows}
    assert len(rows) == len(told)
    answered = {(method.upper(), path) for path, ways in server.openapi()["paths"].items() for method in ways}
    assert set(told) == answered
    assert told == routes()


def commands(group: Any, *names: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name))


def test_the_table_of_commands_is_the_command_line() -> None:
    table = (DOCS / "operations.md").read_text().partition("## Every command\n")[2]
    rows = re.findall(r"^\| `jevons (.+?)` \| .+ \|$", table, re.MULTILINE)
    # Arguments are written in capitals.
    told = [" ".join(takewhile(str.islower, row.split())) for row in rows]
    assert sorted(told) == sorted(commands(get_command(build())))
