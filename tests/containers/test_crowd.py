"""A photo with a thousand faces in the image as shipped: it is answered, and memory stays within the pod's limit."""

from __future__ import annotations

import httpx

from tests.containers.engine import Container
from tests.crowds import crowd
from tests.rollout.stores import KEY

LEAST_FACES = 900
ADDED = 5


def test_a_photo_with_a_thousand_faces_is_detected_and_its_faces_are_added_within_3_gib(
    vectorizer: Container,
) -> None:
    headers = {"X-Api-Key": KEY}
    with httpx.Client(base_url=vectorizer.url, headers=headers, timeout=120) as client:
        photo = client.post("/detect_faces/", files={"file": crowd(32, 32, cell=60)}).json()
        assert len(photo["faces"]) >= LEAST_FACES
        for face in [photo["faces"][number * 150] for number in range(ADDED)]:
            added = client.put("/add_face/", data={"face_id": face["face_id"]})
            assert added.status_code == 200, added.text
        assert client.delete("/remove_all/").json()["faces_removed"] >= LEAST_FACES
    state = vectorizer.state()
    assert state["Running"]
    assert not state["OOMKilled"]
    peak = int(
        vectorizer.run(
            "cat /sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes"
        ).stdout.split()[0]
    )
    print(
        f"\n{len(photo['faces'])} faces, {photo['faces_left_out']} left out; peak memory {peak / 2**20:.0f} MiB"
    )
    assert peak < 3 * 2**30
