from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from models.conditioning import constants_of, fix_weights, flush_vanishing, fold_constants, free_batch
from tests.unit.models.small_graphs import model_of, noise, operators, run


def test_a_dequantised_weight_becomes_a_plain_weight_with_the_same_value() -> None:
    quantised = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    model = model_of(
        [
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        {"q": quantised, "scale": np.float32(0.25), "zero": np.int8(1)},
        [2, 4],
        output_rank=2,
    )
    folded = fold_constants(model)
    assert operators(folded) == ["MatMul"]
    expected = (quantised.astype(np.float32) - 1) * 0.25
    np.testing.assert_array_equal(constants_of(folded)["w"], expected)
    x = noise(2, 4)
    np.testing.assert_allclose(run(folded, x), x @ expected, rtol=1e-5)


def test_nodes_that_depend_on_the_input_are_not_folded() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, [1, 2, 3, 4])
    assert fold_constants(model) == model


def test_a_transform_does_not_change_its_argument() -> None:
    model = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.array([1e-30, 1], np.float32)}, [2], 1
    )
    before = model.SerializeToString()
    for transform in (fix_weights, fold_constants, flush_vanishing, free_batch):
        transform(model)
    assert model.SerializeToString() == before


def test_denormal_and_vanishing_weights_become_zero_and_others_stay() -> None:
    weights = np.array([1e-40, -1e-45, 5e-25, 0.0, 1e-19, -0.5], np.float32)
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])], {"w": weights}, [6], 1)
    found = constants_of(flush_vanishing(model))["w"]
    np.testing.assert_array_equal(found, np.array([0, 0, 0, 0, 1e-19, -0.5], np.float32))


def test_weights_that_a_caller_could_override_become_constants() -> None:
    model = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"w": np.ones(2, np.float32)}, [2], 1, ir_version=3
    )
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [2]))
    fixed = fix_weights(model)
    assert [value.name for value in fixed.graph.input] == ["x"]
    np.testing.assert_array_equal(run(fixed, np.zeros(2, np.float32)), [1, 1])


def test_a_batch_gives_the_same_results_as_single_images() -> None:
    model = model_of(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("Reshape", ["r", "shape"], ["y"]),
        ],
        {"shape": np.array([1, -1], np.int64)},
        [1, 3, 2, 2],
        output_rank=2,
    )
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    freed = free_batch(model)
    images = noise(5, 3, 2, 2)
    found = run(freed, images)
    assert found.shape == (5, 12)
    np.testing.assert_array_equal(found, np.concatenate([run(model, image[None]) for image in images]))


def test_a_shape_that_a_reshape_of_weights_also_uses_is_not_changed() -> None:
    model = model_of(
        [
            helper.make_node("Reshape", ["w", "shape"], ["flat"]),
            helper.make_node("Reshape", ["x", "shape"], ["row"]),
            helper.make_node("Add", ["row", "flat"], ["y"]),
        ],
        {"shape": np.array([1, -1], np.int64), "w": np.ones((2, 2), np.float32)},
        [1, 2, 2],
        output_rank=2,
    )
    freed = free_batch(model)
    assert run(freed, np.zeros((3, 2, 2), np.float32)).shape == (3, 4)


def test_height_and_width_of_a_recogniser_stay_fixed_when_its_batch_becomes_variable() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, [1, 3, 112, 112])
    dimensions = free_batch(model).graph.input[0].type.tensor_type.shape.dim
    assert dimensions[0].dim_param == "batch"
    assert [dimension.dim_value for dimension in dimensions[1:]] == [3, 112, 112]


def test_an_initializer_that_is_an_output_is_kept() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["r"])], {"y": np.ones(2, np.float32)}, [2], 1)
    assert "y" in constants_of(fold_constants(model))
    assert numpy_helper.to_array(model.graph.initializer[0]).shape == (2,)
