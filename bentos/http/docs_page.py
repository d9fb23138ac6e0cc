"""`/docs` as one file that needs no other host: Swagger UI from the BentoML package, with the OpenAPI document inside.

A browser cannot send a key with the address that it opens: the page is fetched with one and opened as a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import bentoml
from starlette.responses import HTMLResponse

_ASSETS = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"


def docs_page(title: str, document: dict[str, Any]) -> HTMLResponse:
    """The page, with a Content-Security-Policy that lets in its own two scripts and nothing else."""
    bundle = _harmless((_ASSETS / "swagger-ui-bundle.js").read_text("utf-8"))
    start = _harmless(f'SwaggerUIBundle({{spec: {json.dumps(document)}, dom_id: "#docs"}});')
    style = (_ASSETS / "swagger-ui.css").read_text("utf-8")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{style}</style>'
        f'<body><div id="docs"></div><script>{bundle}</script><script>{start}</script></body></html>'
    )
    policy = (
        f"default-src 'none'; script-src {_hash(bundle)} {_hash(start)}; style-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _harmless(script: str) -> str:
    """With nothing that ends the element around it."""
    return script.replace("</", "<\\/").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
