"""The files of Swagger UI for the page `/docs`.

Private interface of bentoml 1.4.39: its folder of static files, `bentoml/_internal/server/static_content`.

What it buys: `/docs` needs no other host and no further package. The package `swagger-ui-bundle` 1.1.0 holds Swagger UI
4.15, which cannot show OpenAPI 3.1, the version that FastAPI writes. `swagger_ui() is None` is the self-check at start;
without the files `/docs` shows the OpenAPI document as text.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import NamedTuple

import bentoml

logger = logging.getLogger(__name__)

_ASSETS = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"


class SwaggerUi(NamedTuple):
    """The text of both files."""

    script: str
    style: str


@cache
def swagger_ui() -> SwaggerUi | None:
    """Swagger UI, or None when the installed BentoML has none, which is logged once."""
    try:
        script = (_ASSETS / "swagger-ui-bundle.js").read_text("utf-8")
        style = (_ASSETS / "swagger-ui.css").read_text("utf-8")
    except OSError:
        script = style = ""
    if "SwaggerUIBundle" not in script:
        logger.warning("BentoML has no Swagger UI: /docs shows the OpenAPI document as text")
        return None
    return SwaggerUi(script, style)
