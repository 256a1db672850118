"""Every error of the HTTP side as RFC 9457 problem+json; as google.rpc.Status where OTLP asks for it."""

import logging
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from google.rpc.status_pb2 import Status
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from models.core.errors import BadInput, JevonsError
from models.store.availability import is_unavailable

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
OTLP_PATHS = ("/v1/traces", "/v1/logs", "/v1/metrics")
TITLES = {
    400: "Bad request",
    401: "Credentials required",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    421: "Not asked by our name",
    422: "Input not valid",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}
RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 413: 8, 415: 3, 422: 3, 429: 8, 500: 13, 503: 14}
"""google.rpc.Code of an HTTP status."""
AWAY_SECONDS = 2
"""When to ask again while the database is away; an embedded one is started again within a few seconds."""
INSIDE_API = ("/api", "/v1")
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def problem(
    status: int,
    detail: str,
    *,
    code: str = "about:blank",
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response:
    """A problem+json answer: what happened, the figures, the next step; `errors` name field and reason."""
    body: dict[str, Any] = {
        "type": code if code == "about:blank" else f"urn:jevons:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        **more,
    }
    if errors:
        body["errors"] = errors
    return Response(orjson.dumps(body), status_code=status, media_type=PROBLEM, headers=headers)


def rpc_status(request: Request, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An OTLP error body: google.rpc.Status in the encoding of the request."""
    code = RPC_CODES.get(status, 2)
    if request.headers.get("content-type", "").split(";")[0].strip() == "application/json":
        body = orjson.dumps({"code": code, "message": detail})
        return Response(body, status_code=status, media_type="application/json", headers=headers)
    body = Status(code=code, message=detail).SerializeToString()
    return Response(body, status_code=status, media_type="application/x-protobuf", headers=headers)


def answer(
    request: Request,
    status: int,
    detail: str,
    *,
    code: str = "about:blank",
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The error in the shape its reader expects."""
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    if request.method == "POST" and request.url.path in OTLP_PATHS:
        return rpc_status(request, status, detail, headers)
    return problem(status, detail, code=code, errors=errors, headers=headers)


def field_errors(invalid: RequestValidationError) -> list[dict[str, str]]:
    """Field and reason of each thing a request got wrong; the input itself is not echoed."""
    return [
        {"field": ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0]), "reason": error["msg"]}
        for error in invalid.errors()
    ]


async def _on_fault(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, JevonsError)
    errors = fault.errors if isinstance(fault, BadInput) else None
    if fault.status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, fault)
    return answer(request, fault.status, str(fault), code=fault.code, errors=errors)


async def _on_http(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    headers = dict(fault.headers) if fault.headers else None
    return answer(request, fault.status_code, str(fault.detail), headers=headers)


async def _on_invalid(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RequestValidationError)
    errors = field_errors(fault)
    named = "; ".join(f"{error['field']}: {error['reason']}" for error in errors)
    return answer(
        request, 422, f"{len(errors)} of the inputs cannot be taken: {named}", code="validation", errors=errors
    )


async def _on_database(request: Request, fault: Exception) -> Response:
    """A database that is away is no bug of ours: with 503 and Retry-After, senders keep what they have."""
    if not is_unavailable(fault):
        return await _on_bug(request, fault)
    log.warning("%s %s: the database is away: %s", request.method, request.url.path, fault)
    detail = f"the database cannot be reached ({type(fault).__name__}). Try again after {AWAY_SECONDS} s."
    headers = {"Retry-After": str(AWAY_SECONDS)}
    return answer(request, 503, detail, code="store_unavailable", headers=headers)


async def _on_bug(request: Request, fault: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=fault)
    return answer(request, 500, "an error of ours; the server's log has the details", code="internal")


async def answer_fault(request: Request, fault: Exception) -> Response:
    """The answer to a fault outside of the routes, as a route's would be."""
    if isinstance(fault, JevonsError):
        return await _on_fault(request, fault)
    if isinstance(fault, SQLAlchemyError | psycopg.Error):
        return await _on_database(request, fault)
    return await _on_bug(request, fault)


def install(app: FastAPI) -> None:
    """Answer every error of the application in these shapes."""
    app.add_exception_handler(JevonsError, _on_fault)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(SQLAlchemyError, _on_database)
    app.add_exception_handler(psycopg.Error, _on_database)
    app.add_exception_handler(Exception, _on_bug)


def close_prefixes(app: FastAPI) -> None:
    """Answer 404 and 405 for what no route below /api and /v1 takes; the pages' catch-all would answer 200.

    Call it after every router is in and before the pages are mounted.
    """
    taken = list(app.router.routes)

    async def nothing_here(request: Request) -> Response:
        allowed: set[str] = set()
        for method in METHODS:
            scope = {**request.scope, "method": method}
            if any(route.matches(scope)[0] == Match.FULL for route in taken):
                allowed.add(method)
        path = request.url.path
        if allowed:
            listed = ", ".join(sorted(allowed))
            return problem(405, f"{path} takes {listed}, not {request.method}.", headers={"Allow": listed})
        return problem(404, f"there is nothing at {path}. /docs lists every route.", code="not_found")

    for prefix in INSIDE_API:
        for path in (prefix, prefix + "/{rest:path}"):
            app.add_api_route(path, nothing_here, methods=METHODS, include_in_schema=False)
