"""Tests of `GET /embed_status/{photo_id}`."""

from __future__ import annotations

from tests.http.conftest import Api


async def test_a_photo_is_shown_with_its_faces(api: Api, group_photo: bytes) -> None:
    photo = (await api.detect(group_photo, collection_id="office")).json()
    await api.add(face_id=photo["faces"][4]["face_id"])
    for path in (f"/embed_status/{photo['photo_id']}", f"/embed_status/{photo['photo_id']}/"):
        shown = await api.client.get(path)
        assert shown.status_code == 200, shown.text
        [row] = (await api.status())["items"]
        states = ["detected"] * 4 + ["indexed", "detected"]
        assert shown.json() == {
            **row,
            "width": 1280,
            "height": 886,
            "faces": [{**face, "status": state} for face, state in zip(photo["faces"], states, strict=True)],
        }
        assert row["status"] == "partial"


async def test_a_photo_without_faces_has_an_empty_list(api: Api, coffee_cup: bytes) -> None:
    await api.detect(coffee_cup, photo_id="cup")
    shown = (await api.client.get("/embed_status/cup")).json()
    assert (shown["status"], shown["faces"], shown["faces_detected"]) == ("no_faces", [], 0)
    assert shown["width"] > 0


async def test_an_unknown_or_purged_photo_is_not_found(api: Api, astronaut: bytes) -> None:
    await api.detect(astronaut, photo_id="gone")
    await api.client.delete("/remove/gone?purge=true")
    for photo_id in ("gone", "never-seen"):
        refused = await api.client.get(f"/embed_status/{photo_id}")
        assert (refused.status_code, refused.json()["error"]) == (404, "photo_not_found")
    malformed = await api.client.get("/embed_status/a%00b")
    assert (malformed.status_code, malformed.json()["error"]) == (422, "invalid_request")
