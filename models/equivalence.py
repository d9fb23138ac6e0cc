"""Checks that a conditioned graph gives the same results as the published graph, on noise and on faces.

Private interface of insightface 2.1: `SCRFD` and `norm_crop`, whose results are the reference.
"""

from __future__ import annotations

import warnings
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models import onet
from models.errors import PackError
from models.torch_pickle import Tensors
from models.yunet import STRIDES, YUNET_OUTPUTS

Images = NDArray[np.float32]

EMBEDDING_TOLERANCE = 1e-5
"""Largest difference of any component of an L2-normalised embedding."""
SCORE_TOLERANCE = 1e-4
"""Largest difference of a detector's score, 0..1."""
PIXEL_TOLERANCE = 0.02
"""Largest difference of a side of a box or a key point, in pixels of the detector's input."""
LANDMARKS_TOLERANCE = 1e-5
"""Largest difference of a probability, and of a coordinate in shares of a face's side."""
_SCORES_THAT_COUNT = 0.02  # near zero, the square root turns a rounding error of 1e-8 into 1e-4
_SIDE = 640
_FACE_SIDE = 112
_BATCH = 3
_PEOPLE = 6


def session(model: Path | bytes) -> ort.InferenceSession:
    """A session with the options of the services: CPU, one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def group_photo() -> NDArray[np.uint8]:
    """The photo of six people that ships with InsightFace: (height, width, 3) uint8, BGR."""
    photo = resources.files("insightface").joinpath("data/images/t1.jpg").read_bytes()
    decoded = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise PackError(
            "The photo t1.jpg of the insightface package cannot be read: install insightface again."
        )
    return np.asarray(decoded, np.uint8)


def square_photo(side: int = _SIDE) -> NDArray[np.uint8]:
    """The group photo in the top left of a black (side, side, 3) square, as InsightFace passes it to a detector."""
    photo = group_photo()
    scale = side / max(photo.shape[:2])
    small = cv2.resize(photo, (int(photo.shape[1] * scale), int(photo.shape[0] * scale)))
    square = np.zeros((side, side, 3), np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    return square


def faces_of_the_group(detector: Path) -> Images:
    """The six faces of the group photo as a recogniser's input: (6, 3, 112, 112) float32, RGB, -1..1."""
    # InsightFace takes seconds to import, and is not needed for a pack that is assembled already.
    from insightface.model_zoo.scrfd import SCRFD  # noqa: PLC0415
    from insightface.utils.face_align import norm_crop  # noqa: PLC0415

    scrfd = SCRFD(str(detector), session(detector))
    scrfd.prepare(0, input_size=(_SIDE, _SIDE), det_thresh=0.5)
    photo = group_photo()
    _, landmarks = scrfd.detect(photo)
    if landmarks is None or len(landmarks) != _PEOPLE:
        found = 0 if landmarks is None else len(landmarks)
        raise PackError(
            f"The conditioned detector finds {found} faces in a photo of six people: this model cannot be used."
        )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", FutureWarning
        )  # InsightFace calls deprecated functions of scikit-image
        faces = [norm_crop(photo, points, image_size=_FACE_SIDE) for points in landmarks]
    rgb = np.stack(faces)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
    return np.ascontiguousarray((rgb - np.float32(127.5)) / np.float32(127.5))


def check_yunet(published: Path, conditioned: Path) -> None:
    """Compare with the published YuNet, run by OpenCV and post-processed by its formula. Raises `PackError`."""
    network = cv2.dnn.readNetFromONNX(str(published))
    noise = np.random.default_rng(7).integers(0, 256, (_SIDE, _SIDE, 3)).astype(np.uint8)
    candidate = session(conditioned)
    for bgr in (square_photo(), noise):
        network.setInput(np.ascontiguousarray(bgr.transpose(2, 0, 1)[None].astype(np.float32)))
        raw = dict(zip(YUNET_OUTPUTS, network.forward(list(YUNET_OUTPUTS)), strict=True))
        outputs = candidate.run(None, {candidate.get_inputs()[0].name: scrfd_input(bgr)})
        _compare_detections(yunet_as_scrfd(raw), outputs, anchors=2)


def check_scrfd(published: Path, conditioned: Path) -> None:
    """Compare all nine outputs with those of the published SCRFD. Raises `PackError` for a difference."""
    noise = np.random.default_rng(7).integers(0, 256, (_SIDE, _SIDE, 3)).astype(np.uint8)
    original, candidate = session(published), session(conditioned)
    for bgr in (square_photo(), noise):
        image = scrfd_input(bgr)
        expected = original.run(None, {original.get_inputs()[0].name: image})
        outputs = candidate.run(None, {candidate.get_inputs()[0].name: image})
        _compare_detections(expected, outputs, anchors=1)


def check_recogniser(published: Path, conditioned: Path, faces: Images) -> None:
    """Compare embeddings of noise and of `faces` ((n, 3, 112, 112) float32), one at a time and as a batch.

    Raises `PackError`.
    """
    noise = np.random.default_rng(7).standard_normal((_BATCH, 3, _FACE_SIDE, _FACE_SIDE)).astype(np.float32)
    original, candidate = session(published), session(conditioned)
    for images in (noise, faces):
        expected = np.concatenate([_embeddings(original, image[None]) for image in images])
        single = np.concatenate([_embeddings(candidate, image[None]) for image in images])
        for found in (single, _embeddings(candidate, images)):
            worst = float(np.abs(found - expected).max())
            if not worst <= EMBEDDING_TOLERANCE:
                raise PackError(
                    f"The conditioned recogniser differs from the published one by {worst:.1e} "
                    f"({EMBEDDING_TOLERANCE:.0e} is allowed): this model cannot be conditioned; please report it."
                )


def check_landmarks(tensors: Tensors, conditioned: Path) -> None:
    """Compare O-Net's graph with its layers computed in float64, on noise and on parts of a photo.

    Raises `PackError`.
    """
    noise = np.random.default_rng(7).integers(0, 256, (_PEOPLE, onet.SIDE, onet.SIDE, 3)).astype(np.uint8)
    small = cv2.resize(group_photo(), (8 * onet.SIDE, 4 * onet.SIDE), interpolation=cv2.INTER_AREA)
    rows = np.asarray(small, np.uint8).reshape(4, onet.SIDE, 8, onet.SIDE, 3)
    tiles = rows.swapaxes(1, 2).reshape(-1, onet.SIDE, onet.SIDE, 3)
    opened = session(conditioned)
    for faces in (noise, tiles):
        expected = onet.reference(tensors, faces)
        found = opened.run(["probability", "box", "landmarks"], {"faces": faces})
        worst = max(float(np.abs(one - other).max()) for one, other in zip(expected, found, strict=True))
        if not worst <= LANDMARKS_TOLERANCE:
            raise PackError(
                f"The landmark model differs from the published layers by {worst:.1e} "
                f"({LANDMARKS_TOLERANCE:.0e} is allowed): this machine cannot run it; please report it."
            )


def scrfd_input(bgr: NDArray[np.uint8]) -> Images:
    """(1, 3, height, width) float32, RGB, (x - 127.5) / 128."""
    rgb = bgr[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32)
    return np.ascontiguousarray((rgb - np.float32(127.5)) / np.float32(128))


def yunet_as_scrfd(raw: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """YuNet's twelve outputs as SCRFD's nine, one anchor a cell, by the formula of OpenCV's FaceDetectorYN."""
    scores, boxes, points = [], [], []
    for stride in STRIDES:
        scores.append(np.sqrt(raw[f"cls_{stride}"].clip(0, 1) * raw[f"obj_{stride}"].clip(0, 1)))
        offset, size = raw[f"bbox_{stride}"][..., :2], np.exp(raw[f"bbox_{stride}"][..., 2:])
        boxes.append(np.concatenate([size / 2 - offset, size / 2 + offset], axis=-1))
        points.append(raw[f"kps_{stride}"])
    return scores + boxes + points


def _embeddings(recogniser: ort.InferenceSession, images: Images) -> NDArray[np.float32]:
    found = recogniser.run(None, {recogniser.get_inputs()[0].name: images})[0]
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def _compare_detections(expected: list[NDArray[Any]], found: list[NDArray[Any]], anchors: int) -> None:
    for level, stride in enumerate(STRIDES):
        scores = expected[level].reshape(-1)
        first = [output.reshape(-1, output.shape[-1])[::anchors] for output in found[level::3]]
        others = found[level].reshape(-1, anchors)[:, 1:]
        clear, found_clear = (np.maximum(each, _SCORES_THAT_COUNT) for each in (scores, first[0].reshape(-1)))
        _within(float(np.abs(found_clear - clear).max(initial=0)), SCORE_TOLERANCE, "score")
        _within(float(others.max(initial=0)), 0.0, "score of the anchors that do not exist")
        likely = scores > _SCORES_THAT_COUNT
        for output, other in zip(expected[level + 3 :: 3], first[1:], strict=True):
            difference = np.abs(output.reshape(-1, output.shape[-1]) - other)[likely] * stride
            _within(float(difference.max(initial=0)), PIXEL_TOLERANCE, "position")


def _within(worst: float, tolerance: float, what: str) -> None:
    if not worst <= tolerance:
        raise PackError(
            f"The conditioned detector differs from the published one by {worst:.1e} in a {what} "
            f"({tolerance:.0e} is allowed): this model cannot be conditioned; please report it."
        )
