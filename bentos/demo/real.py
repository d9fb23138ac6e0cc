"""`make demo-real`: runs the demo's scenario against two services and real store servers on this machine."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bentos.client import FaceSearch
from bentos.demo.process import DidNotStart, RunningService, serving
from bentos.demo.scenario import Scenario

if TYPE_CHECKING:
    from bentos.demo.servers.real import RealServers

VECTORIZER = "bentos.vectorizer.service:ImageVectorizer"
SEARCH = "bentos.search.service:ImageSearch"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RealStack:
    """The running store servers and both running services."""

    servers: RealServers
    vectorizer: RunningService
    search: RunningService
    api_key: str


@contextmanager
def real_stack(folder: Path, say: Say) -> Iterator[RealStack]:
    """Start the servers and both services with their data in `folder`; stop all of them at the end of the block.

    Raises `DidNotStart`.
    """
    try:
        # The servers need packages of requirements/dev.txt, which a deployed service does not have.
        from bentos.demo.servers.real import real_servers  # noqa: PLC0415
    except ImportError as error:
        raise DidNotStart(f"This demo needs a checkout and requirements/dev.txt ({error}).") from error
    key = secrets.token_hex(24)
    say(f"data and logs are in {folder}")
    say("starting PostgreSQL, a server with PostgREST's protocol, S3 and Milvus ...")
    with real_servers(folder) as servers:
        say(
            f"  PostgREST {servers.postgrest.url}\n  S3        {servers.s3.url}\n  Milvus    {servers.milvus.uri}"
        )
        environment = {"API_KEY": key, **servers.environment()}
        say("starting image-vectorizer and image-search ...")
        with (
            serving(VECTORIZER, environment, log=folder / "image-vectorizer.log") as vectorizer,
            serving(SEARCH, environment, log=folder / "image-search.log") as search,
        ):
            for name, service in (("image-vectorizer", vectorizer), ("image-search", search)):
                say(f"  {name:<17} {service.url}, log in {service.log}")
            yield RealStack(servers, vectorizer, search, key)


def run_on_real_servers(say: Say) -> int:
    """Start the servers and services, run the scenario, clean up. Returns the exit status."""
    with (
        tempfile.TemporaryDirectory(prefix="face-search-real-") as folder,
        real_stack(Path(folder), say) as stack,
    ):
        say("")
        with FaceSearch(stack.vectorizer.url, stack.api_key, search_url=stack.search.url) as client:
            right = Scenario(client, say).run()
        if not right:
            for service in (stack.vectorizer, stack.search):
                say(f"\nthe end of {service.log.name}:\n{service.log.read_text()[-3000:]}")
    say("\nall answers are right" if right else "\nNOT all answers are right")
    return 0 if right else 1
