"""Tests of batches of fixed shapes, as on a GPU, on the CPU with the real models, against images one by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from io import BytesIO
from itertools import count
from pathlib import Path

import pytest
from PIL import Image

from bentos.config.settings import Settings
from bentos.demo import photos
from bentos.domain.errors import DependencyUnavailable, FaceSearchError, ImageTooLarge, InvalidImageFormat
from bentos.domain.faces import FacesInImage
from bentos.pipeline.batched.fixed_session import _defaults
from bentos.pipeline.extraction import Extraction
from bentos.pipeline.methods import METHODS, Method
from bentos.runner import batch_loop
from bentos.runner.codec import Request, Ticket, asked_of, decode_faces, encode_request, split_timing
from bentos.runner.fixed_batches import LATER, FixedBatches
from bentos.runner.local import extraction_of
from bentos.runner.transport.callers import Callers
from bentos.runner.transport.server import listen
from bentos.runner.transport.sockets import SocketTransport
from tests.crowds import crowd
from tests.unit.imaging.image_bombs import oversized_png

Found = FacesInImage | FaceSearchError
LEAST_COSINE = 0.9995
"""Of an embedding to that of the same face in an image that is worked on alone, in its own shape: landmarks differ by a
tenth of a pixel, because the detector sees other margins."""
EVER = Ticket(deadline=float("inf"))
_numbers = count(1)


class Batches:
    """`FixedBatches` on the CPU. `unwanted`: the numbers of requests whose callers have gone."""

    def __init__(self, pack_folder: Path) -> None:
        settings = Settings(runner_fixed_shapes="on", runner_max_batch_size=16)
        self.unwanted: set[int] = set()
        self.fixed = FixedBatches(
            extraction_of(pack_folder, settings),
            lambda ticket: ticket.number not in self.unwanted and time.monotonic() < ticket.deadline,
            None,
            decode_threads=2,
            gather_s=0.05,
        )

    def ask(self, method: Method, requests: Sequence[Request]) -> list[Found]:
        """The answers to one batch."""
        payloads = [encode_request(each, EVER._replace(number=next(_numbers))) for each in requests]
        return [_found(answer) for answer in self.fixed.answers(method, payloads)]


def _found(answer: bytes) -> Found:
    try:
        return decode_faces(split_timing(answer)[1])
    except FaceSearchError as error:
        return error


@pytest.fixture(scope="module")
def batches(pack_folder: Path) -> Batches:
    return Batches(pack_folder)


def _saved(image: Image.Image, kind: str) -> bytes:
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    """Of different sizes, with no face up to twenty; one lies on its side, one gets a second detection."""
    selfie = Image.open(photos.astronaut())
    return {
        "selfie": photos.astronaut().read_bytes(),
        "crowd": crowd(4, 3, cell=120),
        "small": photos.portrait().read_bytes(),
        "no face": photos.coffee_cup().read_bytes(),
        "six faces": photos.group_photo().read_bytes(),
        "turned": _saved(selfie.rotate(90), "JPEG"),
        "high": _saved(selfie.crop((120, 0, 330, 512)), "PNG"),
    }


@pytest.fixture(scope="module")
def ordinary(pack_folder: Path) -> Extraction:
    """Image by image, as on a CPU; selfies in full, as batches do, because a quick detection finds other landmarks."""
    return extraction_of(pack_folder, Settings(selfie_quick_size=0))


@pytest.fixture(scope="module")
def requests(ordinary: Extraction, images: Mapping[str, bytes]) -> dict[str, Request]:
    """With what `embed` and `embed_at` need: the landmarks of all faces, and the box of the last one."""
    made = {}
    for name, image in images.items():
        [found] = ordinary.detect([image])
        assert isinstance(found, FacesInImage)
        faces = found.faces
        box = faces[-1].bbox if faces else Request(b"").box
        made[name] = Request(image, tuple(face.landmarks for face in faces), box)
    return made


def _one_by_one(ordinary: Extraction, method: Method, request: Request) -> Found:
    [found] = ordinary.run(method, [asked_of(method, request)], lambda _: True)
    return found


def _assert_same(found: Found, expected: Found, what: str, cosine: float = LEAST_COSINE) -> None:
    assert isinstance(found, FacesInImage), (what, found)
    assert isinstance(expected, FacesInImage), (what, expected)
    assert (found.width, found.height, found.left_out) == (expected.width, expected.height, expected.left_out)
    assert len(found.faces) == len(expected.faces), what
    for number, face in enumerate(found.faces):
        # Known faces have no boxes, and are in the order of the request.
        best = max(expected.faces, key=lambda other: other.bbox.iou(face.bbox))
        best = best if face.bbox.area else expected.faces[number]
        assert (face.embedding is None) == (best.embedding is None), what
        if face.embedding is not None:
            assert float(face.embedding @ best.embedding) >= cosine, what
        # Of several faces in a selfie, most are listed as a coarse detection finds them.
        least = 0.8 if "embed_only_face" in what and len(found.faces) > 1 else 0.95
        assert face.bbox == best.bbox or face.bbox.iou(best.bbox) > least, what


@pytest.mark.parametrize("method", METHODS)
def test_faces_and_embeddings_are_those_of_single_images_whatever_the_batch_and_the_neighbours(
    batches: Batches, ordinary: Extraction, requests: Mapping[str, Request], method: Method
) -> None:
    names = list(requests)
    for batch in (["selfie"], ["crowd", "selfie", "small"], [*names, "selfie", "six faces", "selfie"]):
        for name, found in zip(batch, batches.ask(method, [requests[each] for each in batch]), strict=True):
            expected = _one_by_one(ordinary, method, requests[name])
            _assert_same(found, expected, f"{method} of {name} in a batch of {len(batch)}")


def test_faces_at_the_edge_of_an_image_that_its_canvas_is_larger_than_do_not_depend_on_the_batch_either(
    batches: Batches, ordinary: Extraction, images: Mapping[str, bytes]
) -> None:
    """The detector sees black beside them, where it would see nothing in the image's own shape."""
    edge = Request(crowd(5, 4, cell=110))
    [alone] = batches.ask("detect_and_embed", [edge])
    between = batches.ask(
        "detect_and_embed", [Request(images["selfie"]), edge, Request(images["six faces"])]
    )[1]
    _assert_same(between, alone, "between two others", cosine=0.99999)
    _assert_same(alone, _one_by_one(ordinary, "detect_and_embed", edge), "in its own shape", cosine=0.99)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17])
def test_a_batch_of_any_size_gives_every_image_the_same_answer(
    batches: Batches, requests: Mapping[str, Request], size: int
) -> None:
    """Padded to 1, 4 or 16 places, or split."""
    [alone] = batches.ask("embed_only_face", [requests["small"]])
    found = batches.ask("embed_only_face", [requests["small"]] * size)
    assert len(found) == size
    for each in found:
        _assert_same(each, alone, f"a batch of {size}", cosine=0.99999)


@pytest.mark.parametrize("method", ["detect_and_embed", "embed_only_face"])
def test_a_bad_image_fails_alone_with_its_own_error(
    batches: Batches, ordinary: Extraction, images: Mapping[str, bytes], method: Method
) -> None:
    good = Request(images["selfie"])
    bad = {
        "cut off": (images["six faces"][:-5000], InvalidImageFormat),
        "bomb": (oversized_png(30_000, 30_000), ImageTooLarge),
        "GIF": (_saved(Image.open(photos.astronaut()), "GIF"), InvalidImageFormat),
        "empty": (b"", InvalidImageFormat),
    }
    batch = [good, *(Request(image) for image, _ in bad.values()), good]
    first, *failed, last = batches.ask(method, batch)
    for name, error in zip(bad, failed, strict=True):
        assert isinstance(error, bad[name][1]), (name, error)
    assert isinstance(failed[2], InvalidImageFormat)
    assert "GIF" in failed[2].message
    expected = _one_by_one(ordinary, method, good)
    for neighbour in (first, last):
        _assert_same(neighbour, expected, method)


def test_a_crowd_leaves_its_batch_and_is_answered_after_the_others(
    batches: Batches, images: Mapping[str, bytes]
) -> None:
    slow = crowd(14, 14, cell=64)
    payloads = [
        encode_request(Request(image), EVER._replace(number=next(_numbers)))
        for image in (images["selfie"], slow, images["small"])
    ]
    order: list[str] = []
    with ExitStack() as stack:
        prepared = [
            stack.enter_context(batches.fixed.prepared("detect_and_embed", each)) for each in payloads
        ]
        for name, each in zip(("selfie", "crowd", "small"), prepared, strict=True):
            each.prepared.result(60)
            each.answer.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
        answers = batches.fixed.answers("detect_and_embed", payloads)
        assert answers[1] == LATER
        assert LATER not in (answers[0], answers[2])
        prepared[1].answer.result(60)
        found = _found(batches.fixed.answer(prepared[1]))
    assert order[-1] == "crowd"
    assert isinstance(found, FacesInImage)
    assert len(found.faces) > 100


def test_a_photo_of_twelve_megapixels_that_came_first_holds_up_no_selfie(
    batches: Batches, ordinary: Extraction, images: Mapping[str, bytes]
) -> None:
    large = Request(crowd(8, 6, cell=500))
    first = encode_request(large, EVER._replace(number=next(_numbers)))
    with batches.fixed.prepared("detect_and_embed", first) as prepared:
        selfies = batches.ask("detect_and_embed", [Request(images["selfie"])] * 4)
        assert not prepared.has_entered
        assert [len(each.faces) for each in selfies if isinstance(each, FacesInImage)] == [1] * 4
        [answer] = batches.fixed.answers("detect_and_embed", [first])
        if answer == LATER:
            prepared.answer.result(60)
            answer = batches.fixed.answer(prepared)
    found = _found(answer)
    assert isinstance(found, FacesInImage)
    assert found.width * found.height == 12_000_000
    _assert_same(found, _one_by_one(ordinary, "detect_and_embed", large), "twelve megapixels")


def test_an_expired_request_is_dropped_and_its_neighbours_are_answered(
    batches: Batches, images: Mapping[str, bytes]
) -> None:
    tickets = [EVER, Ticket(deadline=time.monotonic() - 1), EVER]
    payloads = [
        encode_request(Request(images["selfie"]), ticket._replace(number=next(_numbers)))
        for ticket in tickets
    ]
    before, dropped, after = (_found(each) for each in batches.fixed.answers("detect_and_embed", payloads))
    assert isinstance(dropped, DependencyUnavailable)
    assert "did not answer in time" in dropped.message
    assert isinstance(before, FacesInImage)
    _assert_same(after, before, "beside an expired request")


def test_a_request_that_leaves_before_its_batch_frees_its_memory(
    batches: Batches, images: Mapping[str, bytes]
) -> None:
    payload = encode_request(Request(images["six faces"]), EVER._replace(number=next(_numbers)))
    with batches.fixed.prepared("detect", payload) as prepared:
        prepared.prepared.result(60)
        assert batches.fixed._loop._pixels > 0
    assert isinstance(prepared.answer.result(60), DependencyUnavailable)
    assert batches.fixed._loop._pixels == 0


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one decoded image at a time."""
    monkeypatch.setattr(batch_loop, "_MOST_PIXELS", 0)


@pytest.mark.usefixtures("little_memory")
def test_a_batch_with_more_pixels_than_may_be_held_is_answered(
    batches: Batches, images: Mapping[str, bytes]
) -> None:
    found = batches.ask("detect", [Request(images["selfie"])] * 5)
    assert [len(each.faces) for each in found if isinstance(each, FacesInImage)] == [1] * 5


def test_the_engines_of_tensorrt_have_one_name_for_each_network_and_shape() -> None:
    names = {
        _defaults("TensorrtExecutionProvider", model)["trt_engine_cache_prefix"]
        for model in (b"a", b"b", b"a")
    }
    assert len(names) == 2


async def test_requests_that_no_dispatcher_puts_together_run_together_too(
    batches: Batches, ordinary: Extraction, requests: Mapping[str, Request], tmp_path: Path
) -> None:
    listener = await listen(
        None, tmp_path / "runner.1", Callers(), batched=False, batches=batches.fixed
    )  # as in each of several processes
    transport = SocketTransport(tmp_path / "runner")
    broken = Request(requests["selfie"].image[:-5000])

    async def ask(request: Request) -> tuple[Found, int]:
        ticket = EVER._replace(number=next(_numbers))
        answer = await transport.ask("detect_and_embed", encode_request(request, ticket), ticket.number)
        return _found(answer), split_timing(answer)[0].batch

    answers = await asyncio.gather(*map(ask, [*requests.values(), broken]))
    await transport.close()
    listener.close()
    *found, failed = [answer for answer, _ in answers]
    for (name, request), each in zip(requests.items(), found, strict=True):
        _assert_same(each, _one_by_one(ordinary, "detect_and_embed", request), name)
    assert isinstance(failed, InvalidImageFormat)
    assert max(batch for _, batch in answers) > 1


async def test_of_200_callers_a_third_go_and_a_fifth_send_bad_files_and_nothing_is_held_in_the_end(
    batches: Batches, images: Mapping[str, bytes], tmp_path: Path
) -> None:
    callers = Callers()
    listener = await listen(None, tmp_path / "runner.1", callers, batched=False, batches=batches.fixed)
    transport = SocketTransport(tmp_path / "runner")
    good, bad = Request(images["small"]), Request(images["six faces"][:-5000])

    async def ask(number: int) -> Found | None:
        ticket = EVER._replace(number=next(_numbers))
        payload = encode_request(bad if number % 5 == 0 else good, ticket)
        asking = asyncio.create_task(transport.ask("detect", payload, ticket.number))
        if number % 3 == 0:
            await asyncio.sleep(0.002 * number)
            asking.cancel()
        try:
            return _found(await asking)
        except asyncio.CancelledError:
            return None

    answers = await asyncio.gather(*map(ask, range(200)))
    async with asyncio.timeout(120):
        while callers._connections:  # those of callers that have gone
            await asyncio.sleep(0.01)
    await transport.close()
    listener.close()
    for number, found in enumerate(answers):
        if found is None:
            assert number % 3 == 0
        elif number % 5 == 0:
            assert isinstance(found, InvalidImageFormat)
        else:
            assert isinstance(found, FacesInImage)
            assert len(found.faces) == 1
    assert any(found is None for found in answers)
    loop = batches.fixed._loop
    assert (batches.fixed._prepared, loop._expected, loop._pixels) == ({}, 0, 0)
