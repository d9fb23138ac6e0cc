from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from models.conditioning import constants_of, fix_weights
from models.graph import Graph
from models.pruning import drop_dead_channels
from models.published import Published
from tests.unit.models.small_graphs import Array, model_of, noise, run

CHANNELS = 40
DEAD = [0, *range(3, 20), 33]


def bottleneck(*, slopes: bool = True, projection_pads: int = 0, dead: list[int] = DEAD) -> ModelProto:
    depthwise = noise(CHANNELS, 1, 3, 3, seed=3)
    depthwise[dead] = 0
    weights: dict[str, Array] = {
        "we": noise(CHANNELS, 6, 1, 1, seed=2),
        "be": noise(CHANNELS, seed=4),
        "wd": depthwise,
        "bd": noise(CHANNELS, seed=5),
        "wp": noise(6, CHANNELS, 1, 1, seed=6),
        "bp": noise(6, seed=7),
    }
    expanded, spread = "e", "d"
    nodes = [helper.make_node("Conv", ["x", "we", "be"], ["e"])]
    if slopes:
        weights |= {"s1": noise(CHANNELS, 1, 1, seed=8), "s2": noise(CHANNELS, 1, 1, seed=9)}
        nodes.append(helper.make_node("PRelu", ["e", "s1"], ["e1"]))
        expanded = "e1"
    nodes.append(helper.make_node("Conv", [expanded, "wd", "bd"], ["d"], pads=[1] * 4, group=CHANNELS))
    if slopes:
        nodes.append(helper.make_node("PRelu", ["d", "s2"], ["d1"]))
        spread = "d1"
    nodes.append(helper.make_node("Conv", [spread, "wp", "bp"], ["y"], pads=[projection_pads] * 4))
    return model_of(nodes, weights, [1, 6, 8, 8])


def channels_of(model: ModelProto) -> int:
    return len(constants_of(model)["wd"])


@pytest.mark.parametrize("slopes", [True, False])
def test_dead_channels_are_removed_without_changing_the_output(slopes: bool) -> None:
    model = bottleneck(slopes=slopes)
    pruned = drop_dead_channels(model)
    assert channels_of(pruned) == 32
    x = noise(2, 6, 8, 8)[:1]
    np.testing.assert_allclose(run(pruned, x), run(model, x), atol=2e-5)


def test_channels_with_an_effect_are_kept() -> None:
    model = bottleneck(dead=[])
    assert drop_dead_channels(model) == model


def test_a_projection_that_pads_keeps_its_dead_channels() -> None:
    """The padding lacks a dead channel's constant, so that no bias can replace the channel."""
    assert channels_of(drop_dead_channels(bottleneck(projection_pads=1))) == CHANNELS


def test_a_bottleneck_of_dead_channels_only_still_outputs_its_constant() -> None:
    model = bottleneck(dead=list(range(CHANNELS)))
    x = noise(1, 6, 8, 8)
    np.testing.assert_allclose(run(drop_dead_channels(model), x), run(model, x), atol=2e-5)


def test_an_expansion_that_is_read_outside_the_bottleneck_is_not_changed() -> None:
    model = bottleneck(slopes=False)
    model.graph.output[0].name = "y2"
    model.graph.node.append(helper.make_node("ReduceSum", ["e", "axes"], ["sum"], keepdims=1))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"))
    model.graph.node.append(helper.make_node("Add", ["y", "sum"], ["y2"]))
    assert channels_of(drop_dead_channels(model)) == CHANNELS


def test_a_quarter_of_the_shipped_recognisers_arithmetic_is_dead(published: Published) -> None:
    model = fix_weights(onnx.load(str(published.recogniser)))
    before, after = (
        sum(int(np.size(kernel)) for kernel in map(Graph(each).kernel, each.graph.node) if kernel is not None)
        for each in (model, drop_dead_channels(model))
    )
    assert after < 0.75 * before
