"""Tests that the image of image-vectorizer runs the bulk indexing, as the Job in deploy/jobs does."""

from __future__ import annotations

from pathlib import Path

from bentos.client import FaceSearch
from bentos.demo import photos
from bentos.demo.scenario import box_of
from tests.containers.engine import Container, docker, image, restricted
from tests.rollout.stores import KEY


def test_the_image_indexes_what_is_in_the_bucket(
    settings: dict[str, str], tmp_path: Path, vectorizer: Container, search: Container
) -> None:
    with FaceSearch(vectorizer.url, KEY, search_url=search.url) as client:
        group = client.detect_faces(photos.group_photo().read_bytes(), photo_id="bulk-group")
        selfie = photos.selfie_of(photos.group_photo(), box_of(group.faces[0]))
        options = restricted(tmp_path, "bulk", settings, cpus=2, memory="3g")
        source = f"s3://{settings['S3_BUCKET']}/bulk-"
        program = ["-m", "bentos.bulk", source, "--collection=bulk", "--report=/tmp/report.jsonl"]
        for said in ("1  indexed\n", "1  indexed before\n"):
            done = docker(
                "run", "--rm", *options, "--entrypoint=python3", image("image-vectorizer"), *program
            )
            assert said in done.stdout, done.stdout + done.stderr
        (found,) = client.search(selfie, collection_id="bulk").results
        assert (found.photo_id, found.face_id) == ("bulk-group", group.faces[0].face_id)
        client.remove("bulk-group", purge=True)
