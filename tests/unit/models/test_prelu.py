from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from models.assembly import condition_recogniser
from models.conditioning import constants_of
from models.prelu import rewrite_prelu
from models.published import Published
from tests.unit.models.small_graphs import Array, model_of, noise, operators, run

SLOPES = np.array([0.25, -0.4, 0.0, 1.3], np.float32).reshape(4, 1, 1)


def test_a_prelu_whose_result_is_an_output_keeps_its_values() -> None:
    model = model_of([helper.make_node("PRelu", ["x", "s"], ["y"])], {"s": SLOPES}, [2, 4, 5, 5])
    x = noise(2, 4, 5, 5)
    rewritten = rewrite_prelu(model)
    assert "PRelu" not in operators(rewritten)
    np.testing.assert_allclose(run(rewritten, x), run(model, x), atol=1e-6)


@pytest.mark.parametrize("group", [1, 4], ids=["pointwise", "depthwise"])
@pytest.mark.parametrize("slopes", [SLOPES, np.ones((4, 1, 1), np.float32)], ids=["apart", "one"])
def test_a_convolution_behind_a_prelu_gives_the_same_values(group: int, slopes: Array) -> None:
    kernel = noise(4, 4 // group, 3, 3, seed=2)
    model = model_of(
        [
            helper.make_node("PRelu", ["x", "s"], ["p"]),
            helper.make_node("Conv", ["p", "w"], ["y"], pads=[1, 1, 1, 1], group=group),
        ],
        {"s": slopes, "w": kernel},
        [1, 4, 6, 6],
    )
    x = noise(1, 4, 6, 6)
    rewritten = rewrite_prelu(model)
    assert "PRelu" not in operators(rewritten)
    np.testing.assert_allclose(run(rewritten, x), run(model, x), atol=2e-5)


@pytest.mark.parametrize(
    "slopes",
    [SLOPES, np.array([0.2, -3.0, 0.9, 0.0], np.float32).reshape(4, 1, 1)],
    ids=["above one", "below"],
)
def test_a_convolution_behind_a_prelu_and_a_maximum_gives_the_same_values(slopes: Array) -> None:
    """The factor 1-s may pass the maximum only where it is positive."""
    pool = helper.make_node("MaxPool", ["p"], ["m"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    model = model_of(
        [helper.make_node("PRelu", ["x", "s"], ["p"]), pool, helper.make_node("Conv", ["m", "w"], ["y"])],
        {"s": slopes, "w": noise(4, 4, 2, 2, seed=2)},
        [1, 4, 8, 8],
    )
    x = noise(1, 4, 8, 8)
    rewritten = rewrite_prelu(model)
    assert "PRelu" not in operators(rewritten)
    assert operators(rewritten).count("Mul") == (1 if (slopes < 1).all() else 2)
    np.testing.assert_allclose(run(rewritten, x), run(model, x), atol=2e-5)


def test_a_prelu_that_two_kinds_of_nodes_read_keeps_its_values() -> None:
    model = model_of(
        [
            helper.make_node("PRelu", ["x", "s"], ["p"]),
            helper.make_node("Conv", ["p", "w"], ["c"]),
            helper.make_node("Add", ["p", "c"], ["y"]),
        ],
        {"s": SLOPES, "w": noise(4, 4, 1, 1)},
        [1, 4, 3, 3],
    )
    x = noise(1, 4, 3, 3)
    np.testing.assert_allclose(run(rewrite_prelu(model), x), run(model, x), atol=1e-5)


def test_a_kernel_that_two_convolutions_share_is_not_scaled() -> None:
    model = model_of(
        [
            helper.make_node("PRelu", ["x", "s"], ["p"]),
            helper.make_node("Conv", ["p", "w"], ["a"]),
            helper.make_node("Conv", ["x", "w"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["y"]),
        ],
        {"s": SLOPES, "w": noise(4, 4, 1, 1)},
        [1, 4, 3, 3],
    )
    x = noise(1, 4, 3, 3)
    np.testing.assert_allclose(run(rewrite_prelu(model), x), run(model, x), atol=1e-5)


def test_a_prelu_with_a_computed_slope_is_not_changed() -> None:
    model = model_of([helper.make_node("PRelu", ["x", "x"], ["y"])], {}, [1, 4, 3, 3])
    assert operators(rewrite_prelu(model)) == ["PRelu"]


def test_no_added_node_is_named_like_a_normalisation_of_the_input(published: Published) -> None:
    """InsightFace skips its own (x - 127.5) / 127.5 when the first eight names begin with Sub and Mul."""
    model = condition_recogniser(onnx.load(str(published.recogniser)))
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert not [name for name in names if name.startswith(("Sub", "_minus", "Mul", "_mul"))]
    assert not [name for name in operators(model) if name == "PRelu"]


def test_the_shipped_recogniser_has_weights_worth_flushing(published: Published) -> None:
    weights = constants_of(onnx.load(str(published.recogniser)))
    tiny = sum(int(((w != 0) & (np.abs(w) < 1e-20)).sum()) for w in weights.values() if w.dtype == np.float32)
    left = constants_of(condition_recogniser(onnx.load(str(published.recogniser))))
    assert tiny > 100_000
    assert not [
        n for n, w in left.items() if w.dtype == np.float32 and ((w != 0) & (np.abs(w) < 1e-20)).any()
    ]
