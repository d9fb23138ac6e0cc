"""The response headers of the page: a browser runs its own scripts only, and shows images of one store only."""

from __future__ import annotations

from urllib.parse import urlsplit

from bentos.config.settings import Settings


def security_headers(settings: Settings) -> dict[str, str]:
    """The Content-Security-Policy and the other headers that differ from those of the API."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": " ".join(["'self'", "blob:", *image_origins(settings)]),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    }


def image_origins(settings: Settings) -> list[str]:
    """The origins of the links to images; none when the service itself serves them at its own address."""
    address = urlsplit(settings.s3_public_endpoint_url or settings.s3_endpoint_url)
    if address.scheme not in {"http", "https"}:
        return []
    by_path = f"{address.scheme}://{address.netloc}"
    if settings.images_in_folder:
        return [by_path]
    by_host = f"{address.scheme}://{settings.s3_bucket}.{address.netloc}"
    return {"path": [by_path], "virtual": [by_host], "auto": [by_path, by_host]}[settings.s3_addressing]
