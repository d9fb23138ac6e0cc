"""Serves `/docs` as one file that needs no other host: Swagger UI with the OpenAPI document inside.

A browser cannot send a key with an address that it opens, so the page is fetched with a key and opened as a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import Any

from starlette.responses import HTMLResponse

from bentos.serving.swagger_ui import swagger_ui


def docs_page(title: str, document: dict[str, Any]) -> HTMLResponse:
    """The page, with a Content-Security-Policy that allows only its own two scripts.

    Without Swagger UI: the document as text, and no script.
    """
    found = swagger_ui()
    if found is None:
        return _as_text(title, document)
    bundle = _harmless(found.script)
    start = _harmless(f'SwaggerUIBundle({{spec: {json.dumps(document)}, dom_id: "#docs"}});')
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{found.style}</style>'
        f'<body><div id="docs"></div><script>{bundle}</script><script>{start}</script></body></html>'
    )
    policy = (
        f"default-src 'none'; script-src {_hash(bundle)} {_hash(start)}; style-src 'unsafe-inline'; "
        "img-src data:; connect-src 'self'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _as_text(title: str, document: dict[str, Any]) -> HTMLResponse:
    text = escape(json.dumps(document, indent=2))
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><pre>{text}</pre>'
    return HTMLResponse(
        page, headers={"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    )


def _harmless(script: str) -> str:
    """Escape what would end the element around the script."""
    return script.replace("</", "<\\/").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
