"""Tests that unmodified InsightFace opens the assembled pack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from insightface.app import FaceAnalysis
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.utils.face_align import norm_crop

from bentos.pipeline.pack_info import DETECTOR_FILE, LANDMARKS_FILE, RECOGNISER_FILE
from models.equivalence import group_photo, session
from models.published import Published

pytestmark = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def analysis(pack_folder: Path) -> FaceAnalysis:
    opened = FaceAnalysis(name=str(pack_folder), providers=["CPUExecutionProvider"])
    opened.prepare(ctx_id=-1, det_size=(640, 640))
    return opened


def test_face_analysis_finds_the_six_people_and_embeds_each(analysis: FaceAnalysis) -> None:
    faces = analysis.get(group_photo())
    assert len(faces) == 6
    assert {face.embedding.shape for face in faces} == {(512,)}
    assert all(face.det_score > 0.7 for face in faces)
    assert all(face.kps.shape == (5, 2) for face in faces)


def test_the_embeddings_of_the_six_people_are_dissimilar(analysis: FaceAnalysis) -> None:
    embeddings = np.stack([face.normed_embedding for face in analysis.get(group_photo())])
    likeness = embeddings @ embeddings.T
    assert (likeness - 2 * np.eye(6)).max() < 0.5


def test_a_mirrored_photo_shows_the_same_six_people(analysis: FaceAnalysis) -> None:
    photo = group_photo()
    there = sorted(analysis.get(photo), key=lambda face: face.bbox[0])
    mirrored = sorted(analysis.get(photo[:, ::-1].copy()), key=lambda face: -face.bbox[0])
    likeness = [a.normed_embedding @ b.normed_embedding for a, b in zip(there, mirrored, strict=True)]
    assert min(likeness) > 0.5


def test_insightface_normalises_for_the_pack_as_it_does_for_the_published_file(
    pack_folder: Path, published: Published
) -> None:
    ours = ArcFaceONNX(str(pack_folder / RECOGNISER_FILE), session(pack_folder / RECOGNISER_FILE))
    theirs = ArcFaceONNX(str(published.recogniser), session(published.recogniser))
    assert (ours.input_mean, ours.input_std) == (theirs.input_mean, theirs.input_std) == (127.5, 127.5)
    assert ours.input_size == theirs.input_size == (112, 112)


def test_the_embeddings_are_those_of_the_published_recogniser(
    analysis: FaceAnalysis, pack_folder: Path, published: Published
) -> None:
    photo = group_photo()
    crops = [norm_crop(photo, face.kps) for face in analysis.get(photo)]
    theirs = ArcFaceONNX(str(published.recogniser), session(published.recogniser))
    expected = np.concatenate([theirs.get_feat(crop) for crop in crops])
    found = analysis.models["recognition"].get_feat(crops)
    cosine = (expected * found).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(found, axis=1)
    assert found.shape == (6, 512)
    assert cosine.min() > 1 - 1e-6


def test_the_graphs_of_the_pack_pass_the_onnx_checker(pack_folder: Path) -> None:
    graphs = list(pack_folder.glob("*.onnx"))
    assert {path.name for path in graphs} == {DETECTOR_FILE, LANDMARKS_FILE, RECOGNISER_FILE}
    for path in graphs:
        onnx.checker.check_model(str(path), full_check=True)
