"""Tests of the closed-loop generator: it keeps connections, counts errors, and reconnects when a server closes them."""

from __future__ import annotations

import httpx
from starlette.requests import Request

from bench.closed_loop import Requests, measure
from bench.search_form import search_tasks
from tests.unit.locust.conftest import KEY

JPEG = b"\xff\xd8" + b"x" * 1000


async def _run(stand_in, **options):
    host = httpx.URL(stand_in.url).netloc.decode()
    requests = Requests(host, KEY, search_tasks(["a"]), [JPEG])
    return await measure(
        stand_in.url, requests, **{"clients": 3, "seconds": 0.5, "warm_up_s": 0.2, **options}
    )


async def test_right_answers_are_timed(stand_in):
    told = await _run(stand_in)
    assert told["ms"]
    assert told["failures"] == {}
    assert stand_in.seen["with key"] == stand_in.seen["requests"] == len(stand_in.bodies)


async def test_error_responses_are_counted_by_code(stand_in):
    stand_in.fails_every = 2
    told = await _run(stand_in)
    assert set(told["failures"]) == {"503 overloaded"}
    assert told["ms"]


async def test_a_missing_server_is_an_error_and_no_crash(stand_in):
    stand_in.url = "http://127.0.0.1:1"
    told = await _run(stand_in)
    assert told["ms"] == []
    assert sum(told["failures"].values()) > 0


async def test_the_form_contains_the_requested_fields():
    kind = search_tasks(["a", "b"], [50])[2]
    head, _, body = Requests("host", KEY, [kind], [JPEG]).following()[1].partition(b"\r\n\r\n")
    headers = [
        (name.lower(), value) for name, value in (line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    ]

    async def receive():
        return {"type": "http.request", "body": body}

    form = await Request({"type": "http", "method": "POST", "headers": headers}, receive).form()
    assert form["top_k"] == "50"
    assert form.getlist("collection_id") == ["a", "b"]
    assert (await form["file"].read()).endswith(b"x" * 1000)
    assert int(dict(headers)[b"content-length"]) == len(body)
    await form.close()
