from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from insightface.model_zoo.scrfd import SCRFD
from onnx import helper

from bentos.pipeline.pack_info import DETECTOR_FILE
from models.equivalence import check_yunet, group_photo, scrfd_input, session, square_photo
from models.errors import PackError
from models.published import Published
from models.yunet import is_yunet, to_scrfd
from tests.unit.models.small_graphs import model_of, noise


def test_the_published_detector_is_recognised_as_yunet(published: Published) -> None:
    assert is_yunet(onnx.load(str(published.detector)))


def test_the_rewritten_detector_has_the_nine_outputs_of_scrfd_and_variable_dimensions(
    pack_folder: Path,
) -> None:
    detector = session(pack_folder / DETECTOR_FILE)
    assert [len(value.shape) for value in detector.get_outputs()] == [3] * 9
    assert [value.shape[2] for value in detector.get_outputs()] == [1] * 3 + [4] * 3 + [10] * 3
    found = detector.run(None, {detector.get_inputs()[0].name: noise(2, 3, 96, 160)})
    assert [output.shape[:2] for output in found[:3]] == [(2, 480), (2, 120), (2, 30)]


def test_no_dequantisation_remains(pack_folder: Path) -> None:
    model = onnx.load(str(pack_folder / DETECTOR_FILE))
    assert "DequantizeLinear" not in {node.op_type for node in model.graph.node}


def test_two_images_in_a_batch_give_the_same_results_as_alone(pack_folder: Path) -> None:
    detector = session(pack_folder / DETECTOR_FILE)
    photo = scrfd_input(square_photo(320))
    images = np.concatenate([photo, photo[..., ::-1]])
    name = detector.get_inputs()[0].name
    together = detector.run(None, {name: images})
    apart = [detector.run(None, {name: np.ascontiguousarray(image[None])}) for image in images]
    for number, output in enumerate(together):
        np.testing.assert_allclose(output, np.concatenate([each[number] for each in apart]), atol=1e-4)


def test_the_second_anchor_of_a_cell_never_scores(pack_folder: Path) -> None:
    detector = session(pack_folder / DETECTOR_FILE)
    scores = detector.run(None, {detector.get_inputs()[0].name: scrfd_input(square_photo())})[:3]
    assert max(float(level[0, ::2].max()) for level in scores) > 0.8
    assert max(float(level[0, 1::2].max()) for level in scores) == 0


@pytest.mark.parametrize("width", [640, 320, 960])
def test_insightface_finds_the_boxes_that_opencv_finds_with_the_published_file(
    width: int, pack_folder: Path, published: Published
) -> None:
    photo = group_photo()
    height = round(width * photo.shape[0] / photo.shape[1] / 32) * 32
    small = cv2.resize(photo, (width, height))
    expected = cv2.FaceDetectorYN.create(str(published.detector), "", (width, height), 0.6, 0.4).detect(
        small
    )[1]
    scrfd = SCRFD(str(pack_folder / DETECTOR_FILE), session(pack_folder / DETECTOR_FILE))
    scrfd.prepare(0, input_size=(width, height), det_thresh=0.6)
    boxes, landmarks = scrfd.detect(small)
    assert len(boxes) == len(expected) == 6
    by_left, also_by_left = np.argsort(boxes[:, 0]), np.argsort(expected[:, 0])
    theirs = expected[also_by_left]
    corners = np.concatenate([theirs[:, :2], theirs[:, :2] + theirs[:, 2:4]], axis=1)
    np.testing.assert_allclose(boxes[by_left, :4], corners, atol=0.05)
    np.testing.assert_allclose(boxes[by_left, 4], theirs[:, 14], atol=1e-4)
    np.testing.assert_allclose(landmarks[by_left].reshape(-1, 10), theirs[:, 4:14], atol=0.05)


def test_a_detector_that_differs_is_refused(published: Published, tmp_path: Path) -> None:
    model = to_scrfd(onnx.load(str(published.detector)))
    for tensor in model.graph.initializer:
        if tensor.name == "half":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(0.51, np.float32), "half"))
    onnx.save(model, str(tmp_path / DETECTOR_FILE))
    with pytest.raises(PackError, match="differs from the published one"):
        check_yunet(published.detector, tmp_path / DETECTOR_FILE)


def test_a_graph_that_only_looks_like_yunet_is_refused() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, [1, 3, 64, 64])
    with pytest.raises(PackError, match="not the YuNet that is known"):
        to_scrfd(model)
