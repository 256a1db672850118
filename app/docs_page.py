"""The API's documentation page, with its script and style served from here: no network needed."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"


def mount(app: FastAPI) -> None:
    """Serve `/docs` and `/static`. The page is Swagger UI (Apache-2.0, see static/swagger/LICENSE)."""
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """OpenAPI 3.1, to read and to try."""
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Jevons API",
            swagger_js_url="/static/swagger/swagger-ui-bundle.js",
            swagger_css_url="/static/swagger/swagger-ui.css",
            swagger_favicon_url="/favicon.ico",
            # Swagger's badge would send the address of our schema to a server of its own.
            swagger_ui_parameters={"validatorUrl": None, "defaultModelsExpandDepth": 0},
        )
