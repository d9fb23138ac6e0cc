"""Signs links to the objects of a bucket: AWS Signature Version 4 in the query string.

boto3 takes 0.24 ms for a link, which blocks the event loop for 12 ms for a page of fifty; this code takes 0.01 ms.
Scheme, host and path come from a link that boto3 has signed, so that boto3 decides how the bucket is addressed.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_SAMPLE = "sample"


class LinkSigner:
    """Signs expiring links to objects of one bucket, without a call to the server."""

    def __init__(self, client: S3Client, *, bucket: str, region: str) -> None:
        sample = urlsplit(client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": _SAMPLE}))
        self._folder = sample.path.removesuffix(_SAMPLE)
        self._origin = f"{sample.scheme}://{sample.netloc}"
        self._host = sample.netloc.removesuffix(_DEFAULT_PORTS[sample.scheme])
        self._region = region
        self._signing_keys: dict[tuple[str, str], bytes] = {}

    def sign(
        self,
        keys: Sequence[str],
        *,
        access_key_id: str,
        secret_access_key: str,
        expires_s: int,
        now: datetime | None = None,
    ) -> list[str]:
        """A link to each of the objects `keys`, valid for `expires_s` seconds from `now`."""
        now = now or datetime.now(UTC)
        day, moment = f"{now:%Y%m%d}", f"{now:%Y%m%dT%H%M%SZ}"
        scope = f"{day}/{self._region}/s3/aws4_request"
        signing_key = self._signing_key(secret_access_key, day)
        query = (
            f"X-Amz-Algorithm={_ALGORITHM}"
            f"&X-Amz-Credential={quote(f'{access_key_id}/{scope}', safe='')}"
            f"&X-Amz-Date={moment}&X-Amz-Expires={expires_s}&X-Amz-SignedHeaders=host"
        )

        def signed(key: str) -> str:
            path = self._folder + quote(key)
            canonical = f"GET\n{path}\n{query}\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            signature = _hmac(signing_key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}").hex()
            return f"{self._origin}{path}?{query}&X-Amz-Signature={signature}"

        return [signed(key) for key in keys]

    def _signing_key(self, secret_access_key: str, day: str) -> bytes:
        """The signing key, which changes once a day; only the last one is cached."""
        wanted = (secret_access_key, day)
        if wanted not in self._signing_keys:
            key = f"AWS4{secret_access_key}".encode()
            for part in (day, self._region, "s3", "aws4_request"):
                key = _hmac(key, part)
            self._signing_keys = {wanted: key}
        return self._signing_keys[wanted]


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
