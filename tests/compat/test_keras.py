"""A Keras 3 model on the JAX backend trains with jloss losses, under the conventions of `jloss.compat.keras`."""

import copy
import functools
import itertools
import os
import pickle
import re
import subprocess
import sys
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

os.environ.setdefault("KERAS_BACKEND", "jax")
pytestmark = pytest.mark.filterwarnings("ignore")  # Keras is not written for strict promotion and silent warnings


@pytest.fixture
def keras():
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield keras


@pytest.mark.slow
def test_needs_two_inputs(keras):
    from jloss.compat.keras import loss

    with pytest.raises(ValueError, match="a Keras loss has two"):
        loss(jloss.router_z)
    with pytest.raises(ValueError, match="takes the inputs anchors, positives, negatives; a Keras loss has two"):
        loss(jloss.triplet_margin)


WITH_A_KEY = [name for name, found in jloss.CATALOGUE.items() if found.kind == "loss" and "key" in map(found.domains.get, found.required)]


@pytest.mark.parametrize("name", WITH_A_KEY)
def test_targets_are_no_random_key(keras, name):
    from jloss.compat.keras import loss

    with pytest.raises(ValueError, match=f"{name} takes the inputs .*key; a Keras loss has two, predictions and targets"):
        loss(jloss.CATALOGUE[name].public)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "said"),
    [(jloss.seesaw, "seesaw keeps a state; a Keras loss cannot."), ("cross_entropy", "give jloss.cross_entropy itself, not its name.")],
)
def test_needs_a_plain_loss(keras, function, said):
    from jloss.compat.keras import loss

    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        loss(function)


def test_labels_keep_their_integers(keras):
    from jloss.compat.keras import loss

    logits = jnp.zeros((1, 300), jnp.bfloat16).at[0, 257].set(5)
    value = loss(jloss.cross_entropy)(np.array([[257]]), logits)
    np.testing.assert_allclose(value, np.log(np.exp(5) + 299) - 5, rtol=1e-5)


def test_weights_divide_by_their_sum_and_zero_removes(keras):
    from jloss.compat.keras import loss

    value = loss(jloss.squared_error)(
        np.zeros((3, 1), np.float32), jnp.array([[1.0], [2.0], [jnp.nan]]), sample_weight=np.array([1.0, 3.0, 0.0])
    )
    np.testing.assert_allclose(value, (1 + 3 * 4) / 4)


@pytest.mark.slow
def test_a_model_trains(keras):
    from jloss.compat.keras import loss

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int32) + (x[:, 2] > 1)
    model = keras.Sequential([keras.layers.Dense(32, activation="relu"), keras.layers.Dense(3)])
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=loss(jloss.softmax_focal, gamma=1.0))
    history = model.fit(x, y, sample_weight=np.ones(256, np.float32), epochs=20, batch_size=64, verbose=0)
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]
    assert (np.argmax(model.predict(x, verbose=0), -1) == y).mean() > 0.9


def identity(keras, shape, masked=False):
    """A model whose predictions are its input, until it is trained; steps of zeros are masked."""
    first = last = keras.layers.Input(shape)
    if masked:
        last = keras.layers.Masking(0.0)(last)
    last = keras.layers.Dense(shape[-1], use_bias=False, kernel_initializer="identity")(last)
    return keras.Model(first, last)


def evaluated(keras, model, loss, x, y, eager=False, **more):
    model.compile(loss=loss, optimizer=keras.optimizers.SGD(1.0), run_eagerly=eager)
    return model.evaluate(x, y, batch_size=len(x), verbose=0, **more)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def padded(batch, steps, rng, width=3):
    """Scores, the lengths of the sequences, and labels that are -100 on the padding, which is 0."""
    x = rng.normal(size=(batch, steps, width)).astype(np.float32)
    lengths = rng.integers(1, steps, batch)
    kept = np.arange(steps) < lengths[:, None]
    return x * kept[..., None], kept, np.where(kept, rng.integers(0, width, (batch, steps)), -100)


@pytest.mark.slow
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("shape", [(4, 6), (5, 5)])
def test_masked_steps_are_absent_in_evaluate_and_in_fit(keras, shape, eager):
    from jloss.compat.keras import loss

    x, kept, y = padded(*shape, np.random.default_rng(1))
    p, onehot = softmax(x[kept].astype(float)), np.eye(3)[y[kept]]
    wanted = -np.mean(np.log(p)[onehot > 0])
    model = identity(keras, x.shape[1:], masked=True)
    np.testing.assert_allclose(evaluated(keras, model, loss(jloss.cross_entropy), x, y, eager), wanted, rtol=1e-5)
    history = model.fit(x, y, batch_size=len(x), verbose=0).history["loss"]
    np.testing.assert_allclose(history, wanted, rtol=1e-5)
    slope = x[kept].T @ (p - onehot) / kept.sum()
    np.testing.assert_allclose(model.get_weights()[0], np.eye(3) - slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 6), (5, 5)])
def test_mask_and_sample_weights_together(keras, shape):
    from jloss.compat.keras import loss

    rng = np.random.default_rng(2)
    x, kept, y = padded(*shape, rng)
    model = identity(keras, x.shape[1:], masked=True)
    surprise = -np.log(softmax(x.astype(float)))[(*np.indices(shape), np.maximum(y, 0))]
    for weights in (rng.uniform(0.5, 2, shape[0]), rng.uniform(0.5, 2, shape)):
        each = np.broadcast_to(weights.reshape(shape[0], -1), shape)[kept]
        value = evaluated(keras, model, loss(jloss.cross_entropy), x, y, sample_weight=weights)
        np.testing.assert_allclose(value, (each * surprise[kept]).sum() / each.sum(), rtol=1e-5)


def test_weights_of_zero_drop_padded_labels(keras):
    from jloss.compat.keras import loss

    x = np.random.default_rng(13).normal(size=(2, 3, 4)).astype(np.float32)
    y = np.array([[1, 2, -1], [3, -1, -1]])
    model = identity(keras, (3, 4))
    model.compile(loss=loss(jloss.cross_entropy), optimizer="sgd")
    history = model.fit(x, y, sample_weight=(y >= 0).astype("float32"), verbose=0).history["loss"]
    np.testing.assert_allclose(history, -np.log(softmax(x.astype(float)))[(*np.indices(y.shape), y)][y >= 0].mean(), rtol=1e-5)
    assert np.isfinite(model.get_weights()[0]).all()


def test_the_mask_of_steps_covers_their_features(keras):
    from jloss.compat.keras import loss

    x, kept, _ = padded(4, 6, np.random.default_rng(3))
    model = identity(keras, x.shape[1:], masked=True)
    np.testing.assert_allclose(
        evaluated(keras, model, loss(jloss.squared_error), x, np.where(kept[..., None], x + 2, np.nan)), 4, rtol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(4, 6), (5, 5)])
def test_a_loss_of_sequences_gets_its_mask(keras, shape):
    from jloss.compat.keras import loss

    x, kept, y = padded(*shape, np.random.default_rng(4))
    x[0], kept[0] = 0, False  # a sequence of padding alone is no example
    surprise = -np.log(softmax(x.astype(float)))[(*np.indices(shape), np.maximum(y, 0))]
    wanted = np.mean([row[keep].mean() for row, keep in zip(surprise[1:], kept[1:], strict=True)])
    model = identity(keras, x.shape[1:], masked=True)
    np.testing.assert_allclose(evaluated(keras, model, loss(jloss.sequence_cross_entropy), x, y), wanted, rtol=1e-5)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()


def test_an_image_gets_a_mask_of_its_rows(keras):
    from jloss.compat.keras import loss

    x = np.array([[[0.5, 1], [1, 0.5], [0, 0]], [[1, 1], [0, 0], [0, 0]]], np.float32)
    y = np.array([[[1, 1], [0, 1], [1, 1]], [[1, 0], [1, 1], [1, 1]]], np.float32)
    dices = 2 * 2.0 / (3.0 + 3), 2 * 1.0 / (2 + 1)  # the rows of zeros are masked, though the targets are 1 there
    model = identity(keras, (3, 2), masked=True)
    plain = {"smooth_numerator": 0.0, "smooth_denominator": 0.0}
    np.testing.assert_allclose(evaluated(keras, model, loss(jloss.dice, **plain), x, y), 1 - np.mean(dices), rtol=1e-5)


def paths(scores, labels, blank):
    """-log of the probability of all alignments of `labels`, by trying each."""
    log_p = np.log(softmax(scores.astype(float)))
    total = 0.0
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        merged = [c for c, before in zip(path, (None, *path), strict=False) if c != before and c != blank]
        if merged == list(labels):
            total += np.exp(sum(log_p[t, c] for t, c in enumerate(path)))
    return -np.log(total)


@pytest.mark.slow
def test_ctc_gets_lengths(keras):
    from jloss.compat.keras import loss

    rng = np.random.default_rng(5)
    x = rng.normal(size=(4, 5, 3)).astype(np.float32)
    kept = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], bool)  # padded behind, in front, wholly
    x *= kept[..., None]
    y = np.array([[1, 2, 1], [2, -1, -1], [2, 1, -1], [1, -1, -1]])
    wanted = np.mean([paths(x[i][kept[i]], y[i][y[i] >= 0], blank=0) for i in range(3)])
    model = identity(keras, (5, 3), masked=True)
    for labels in (y, y.astype(np.float32)):
        np.testing.assert_allclose(evaluated(keras, model, loss(jloss.ctc), x, labels), wanted, rtol=1e-5)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
    assert np.isfinite(model.get_weights()[0]).all()


def test_a_negative_label_among_others_is_no_padding(keras):
    from jloss.compat.keras import loss

    assert np.isnan(loss(jloss.ctc)(np.array([[-1, 1]]), jnp.zeros((1, 4, 3))))


def with_mask(keras, predictions, mask):
    from keras.src import backend

    predictions = jnp.array(predictions)
    backend.set_keras_mask(predictions, jnp.asarray(mask))
    return predictions


@pytest.mark.slow
def test_masks_beside_a_class_axis(keras):
    from jloss.compat.keras import loss

    rng = np.random.default_rng(6)
    mask = np.array([[True, True, False], [True, False, False]])
    logits, labels = rng.normal(size=(2, 3, 3)).astype(np.float32), np.where(mask, 1, -1)
    wanted = -np.log(softmax(logits.astype(float)))[mask][:, 1].mean()
    np.testing.assert_allclose(loss(jloss.cross_entropy)(labels, with_mask(keras, logits, mask)), wanted, rtol=1e-5)
    classes_first = with_mask(keras, logits.transpose(0, 2, 1), mask)
    np.testing.assert_allclose(loss(jloss.cross_entropy, axis=1)(labels, classes_first), wanted, rtol=1e-5)
    maps = rng.uniform(size=(2, 3, 4, 3)).astype(np.float32)  # image, row, column, class
    there = (rng.uniform(size=maps.shape) > 0.5).astype(np.float32)
    counted = np.broadcast_to(mask[:, :, None, None], maps.shape)
    dice = 1 - (2 * (maps * there * counted).sum((1, 2)) + 1) / (((maps + there) * counted).sum((1, 2)) + 1)
    smooth = {"smooth_numerator": 1.0, "smooth_denominator": 1.0}
    for axis, order in ((-1, (0, 1, 2, 3)), (1, (0, 3, 1, 2))):
        value = loss(jloss.dice, axis=axis, **smooth)(there.transpose(order), with_mask(keras, maps.transpose(order), mask))
        np.testing.assert_allclose(value, dice.mean(), rtol=1e-5)


def test_a_mask_of_videos_beside_classes(keras):
    from jloss.compat.keras import loss

    rng = np.random.default_rng(12)
    maps = rng.uniform(size=(2, 5, 3, 4, 2, 2)).astype(np.float32)  # video, class, shot, frame, row, column
    there = (rng.uniform(size=maps.shape) > 0.5).astype(np.float32)
    mask = rng.uniform(size=(2, 3, 4)) > 0.3
    dice = 1 - (2 * (maps * there).sum((4, 5)) + 1) / ((maps + there).sum((4, 5)) + 1)
    criterion = loss(jloss.dice, axis=1, smooth_numerator=1.0, smooth_denominator=1.0)
    np.testing.assert_allclose(criterion(there, with_mask(keras, maps, mask)), dice.transpose(0, 2, 3, 1)[mask].mean(), rtol=1e-5)


def test_a_mask_without_a_place_is_an_error(keras):
    from jloss.compat.keras import loss

    with pytest.raises(
        ValueError, match=r"cross_entropy: has no place for a Keras mask of shape \(2, 5\) on predictions of shape \(2, 3\)"
    ):
        loss(jloss.cross_entropy)(np.array([0, 1]), with_mask(keras, np.zeros((2, 3)), np.ones((2, 5), bool)))
    with pytest.raises(ValueError, match="cosine_distance: has no place for a Keras mask"):
        loss(jloss.cosine_distance)(np.zeros((2, 3)), with_mask(keras, np.zeros((2, 3)), np.ones((2, 3), bool)))


OVER_SPACE = [
    name
    for name, found in jloss.CATALOGUE.items()
    if found.kind == "loss"
    and all("*s" in dims for dims in [*found.inputs.values()][:2])
    and sum(d != "mask" for d in found.domains.values()) == 2
]


@pytest.mark.parametrize("name", OVER_SPACE)
def test_one_weight_per_image(keras, name):
    from jloss.compat.keras import loss

    found, rng = jloss.CATALOGUE[name], np.random.default_rng(7)
    dims = list(found.inputs.values())
    p = softmax(rng.normal(size=(3, 4, 5, 2))).astype(np.float32)
    t = rng.integers(0, 2, (3, 4, 5))
    if found.spatial_ndim == 3:
        t = np.repeat(t[..., None], 2, axis=-1)
    elif "k" not in dims[0]:
        p = p[..., 0]
    elif "k" in dims[1]:
        t = np.eye(2)[t]
    t = t if found.domains[list(found.inputs)[1]] == "class" else t.astype(np.float32)
    alone = [float(found.public(p[i], t[i])) for i in range(3)]
    for weights in (np.array([1.0, 0.0, 3.0]), np.array([[1.0], [0.0], [3.0]])):
        np.testing.assert_allclose(loss(found.public)(t, p, sample_weight=weights), (alone[0] + 3 * alone[2]) / 4, rtol=2e-5)


def test_one_weight_per_image_and_mask_of_a_class(keras):
    from jloss.compat.keras import loss

    rng = np.random.default_rng(8)
    p = rng.uniform(size=(2, 4, 5, 3)).astype(np.float32)
    t = (rng.uniform(size=p.shape) > 0.5).astype(np.float32)
    dice = 1 - (2 * (p * t).sum((1, 2)) + 1) / ((p + t).sum((1, 2)) + 1)
    smooth = {"smooth_numerator": 1.0, "smooth_denominator": 1.0}
    each = np.array([[1.0, 0.0, 2.0], [0.5, 1.0, 0.0]])
    for weights in (np.array([1.0, 3.0]), each):
        spread = np.broadcast_to(weights.reshape(2, -1), (2, 3))
        for axis, order in ((-1, (0, 1, 2, 3)), (1, (0, 3, 1, 2))):
            value = loss(jloss.dice, axis=axis, **smooth)(t.transpose(order), p.transpose(order), sample_weight=weights)
            np.testing.assert_allclose(value, (spread * dice).sum() / spread.sum(), rtol=1e-5)


@pytest.mark.slow
def test_spatial_losses_train_with_weights(keras):
    from jloss.compat.keras import loss

    rng = np.random.default_rng(9)
    x = rng.uniform(0.1, 0.9, size=(4, 5, 3)).astype(np.float32)
    y = (x > 0.5).astype(np.float32)
    weights = np.array([1.0, 0.0, 1.0, 2.0])
    model = identity(keras, (5, 3))
    dice = 1 - (2 * (x * y).sum((1, 2)) + 1) / ((x + y).sum((1, 2)) + 1)
    criterion = loss(jloss.dice, smooth_numerator=1.0, smooth_denominator=1.0)
    value = evaluated(keras, model, criterion, x, y, sample_weight=weights)
    np.testing.assert_allclose(value, (weights * dice).sum() / 4, rtol=1e-5)
    history = model.fit(x, y, sample_weight=weights, batch_size=4, epochs=3, verbose=0).history["loss"]
    np.testing.assert_allclose(history[0], value, rtol=1e-5)
    assert history[-1] < history[0]


def test_class_weights(keras):
    from jloss.compat.keras import loss

    x = np.random.default_rng(10).normal(size=(6, 3)).astype(np.float32)
    y = np.array([0, 1, 2, 0, 1, 0])
    weights = np.array([0.5, 2.0, 1.0])[y]
    surprise = -np.log(softmax(x.astype(float)))[np.arange(6), y]
    model = identity(keras, (3,))
    model.compile(loss=loss(jloss.cross_entropy), optimizer=keras.optimizers.SGD(0.0))
    history = model.fit(x, y[:, None], class_weight={0: 0.5, 1: 2.0, 2: 1.0}, batch_size=6, verbose=0).history["loss"]
    np.testing.assert_allclose(history, (weights * surprise).sum() / weights.sum(), rtol=1e-5)


def test_weights_of_pixels_have_no_place(keras):
    from jloss.compat.keras import loss

    p = np.full((2, 4, 5), 0.5, np.float32)
    with pytest.raises(ValueError, match=r"dice: `sample_weight` must have one value per example, \(2,\) .*; got \(2, 4, 5\)"):
        loss(jloss.dice)(p, p, sample_weight=p)
    with pytest.raises(ValueError, match=r"squared_error: `sample_weight` must have .*; got \(5,\)"):
        loss(jloss.squared_error)(p, p, sample_weight=np.ones(5))


@pytest.mark.parametrize(("policy", "target"), [("mixed_bfloat16", 257), ("mixed_float16", 70_000)])
def test_integer_targets_of_a_model_of_half_precision_are_not_rounded(keras, policy, target):
    from jloss.compat.keras import loss

    x, y = np.ones((4, 1), np.float32), np.full((4, 1), target)
    first = keras.layers.Input((1,))
    model = keras.Model(first, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", dtype=policy)(first))
    np.testing.assert_allclose(evaluated(keras, model, loss(jloss.absolute_error), x, y), target - 1, rtol=1e-6)


def test_integers_of_64_bits_keep_their_meaning(keras):
    from jloss.compat.keras import loss

    far = 2**32 + 1  # in 32 bits: 1
    assert np.isnan(loss(jloss.cross_entropy)(np.array([far]), jnp.zeros((1, 3))))
    assert np.isnan(loss(jloss.cross_entropy)([far], jnp.zeros((1, 3))))
    np.testing.assert_allclose(loss(jloss.squared_error)(np.array([far]), jnp.zeros(1)), float(far) ** 2, rtol=1e-6)
    values = loss(jloss.absolute_error)(np.zeros(2), jnp.array([1.0, 4.0]), sample_weight=np.array([2**33, 2**32]))
    np.testing.assert_allclose(values, 2)


@pytest.mark.parametrize(
    ("labels", "same"),
    [
        (np.array([1, far := 2**32 + 1, 1, far]), [0, 1, 0, 1]),
        (np.array([3e9, 4e9, 3e9, 4e9]), [0, 1, 0, 1]),
        (np.array([0.25, 0.5, 0.25, 0.5], np.float32), [0, 1, 0, 1]),
        (jnp.array([0.25, 0.5, 0.25, 0.5]), [0, 1, 0, 1]),
        (jnp.array([2.0, 1.0, 2.0, 1.0], jnp.bfloat16), [0, 1, 0, 1]),
        (np.array([0.0, 1.0, -0.0, 1.0]), [0, 1, 0, 1]),
        (np.array([True, False, True, False]), [0, 1, 0, 1]),
    ],
)
def test_labels_that_differ_are_groups_that_differ(keras, labels, same):
    from jloss.compat.keras import loss

    embeddings = jnp.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [0.5, 1.0]])
    wanted = jloss.supervised_contrastive(embeddings, jnp.array(same))
    assert wanted < jloss.supervised_contrastive(embeddings, jnp.zeros(4, int)) - 0.1
    np.testing.assert_allclose(loss(jloss.supervised_contrastive)(labels, embeddings), wanted, rtol=1e-6)


def test_labels_of_two_classes_may_be_booleans(keras):
    from jloss.compat.keras import loss

    values = loss(jloss.cross_entropy, reduction="none")(np.array([True, False]), jnp.array([[0.0, 2.0], [0.0, 2.0]]))
    np.testing.assert_allclose(values, [np.log1p(np.exp(-2)), np.log1p(np.exp(2))], rtol=1e-6)


def test_bytes_in_the_other_order(keras):
    from jloss.compat.keras import loss

    value = loss(jloss.squared_error)(
        np.array([1.0, 2.0]).astype(">f4"), jnp.array([0.0, 0.0]), sample_weight=np.array([1, 3]).astype(">i4")
    )
    np.testing.assert_allclose(value, (1 + 3 * 4) / 4)


REFUSED = [
    (jloss.cross_entropy, ["cat"], {}, "cross_entropy: `labels` must be an array of numbers, got one of dtype <U3"),
    (jloss.huber, np.ma.masked_array([1.0], [True]), {}, "huber: `targets` is a masked array of NumPy"),
    (jloss.huber, [[1.0], [1.0, 2.0]], {}, "huber: `targets` is a list that makes no array"),
    (jloss.huber, [1.0], {"sample_weight": ["a"]}, "huber: `sample_weight` must be an array of numbers"),
]


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_what_keras_takes_for_an_array(keras, dtype):
    from jloss.compat.keras import loss

    class Column:  # as of pandas, torch or TensorFlow
        def __init__(self, values):
            self.values = np.array(values, dtype)

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.values, dtype)

    predictions, targets, weights = Column([1, 4]), Column([0, 2**33]), Column([3, 1])
    values = [loss(jloss.absolute_error)(targets, jnp.array([1.0, 4.0]), sample_weight=weights)]
    if dtype is np.float64:
        values += [loss(jloss.absolute_error)(targets, predictions, sample_weight=weights)]
    np.testing.assert_allclose(values, (3 + 2**33 - 4) / 4, rtol=1e-6)


@pytest.mark.parametrize("wrong", [None, "cat", object()])
def test_what_is_no_array_at_all_is_named(keras, wrong):
    from jloss.compat.keras import loss

    p, criterion = jnp.zeros(2), loss(jloss.huber)
    with pytest.raises(TypeError, match="huber: `predictions` must be"):
        criterion(p, wrong)
    with pytest.raises(TypeError, match="huber: `targets` must be"):
        criterion(wrong, p)
    if wrong is not None:
        with pytest.raises(TypeError, match="huber: `sample_weight` must be"):
            criterion(p, p, sample_weight=wrong)


def test_shapes_that_give_the_mistake_away(keras):
    from jloss.compat.keras import loss

    logits, labels = jnp.zeros((2, 3)), np.array([0, 2])
    with pytest.raises(ValueError, match=r"cross_entropy: .* Keras gives \(y_true, y_pred\): are they exchanged\?"):
        loss(jloss.cross_entropy)(logits, labels)
    with pytest.raises(ValueError, match=r"cross_entropy: .* of one-hot rows, labels\.argmax\(-1\)"):
        loss(jloss.cross_entropy)(np.eye(3)[labels], logits)
    with pytest.raises(ValueError, match=r"soft_cross_entropy: .* Of class indices: keras\.ops\.one_hot\(labels, 3\)"):
        loss(jloss.soft_cross_entropy)(labels, logits)
    with pytest.raises(ValueError, match=r"huber: `reduction` must be one of mean, sum, none in a Keras model, got \['mean'\]"):
        loss(jloss.huber, reduction=["mean"])


@pytest.mark.parametrize(("function", "targets", "more", "said"), REFUSED)
def test_what_is_no_array_is_named(keras, function, targets, more, said):
    from jloss.compat.keras import loss

    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        loss(function)(targets, jnp.zeros((1, 3)) if function is jloss.cross_entropy else jnp.zeros(1), **more)


def test_what_is_given_twice_is_named(keras):
    from jloss.compat.keras import loss

    with pytest.raises(TypeError, match="huber: `weights` is an option of this loss and comes from Keras, too"):
        loss(jloss.huber, weights=np.ones(2))(np.zeros(2), jnp.ones(2), sample_weight=np.ones(2))


def test_of_several_losses_the_total_trains(keras):
    from jloss.compat.keras import loss

    x = np.random.default_rng(14).normal(size=(4, 3)).astype(np.float32)
    both = jloss.weighted_sum({"near": (0.5, jloss.squared_error), "far": (2.0, jloss.absolute_error)})
    np.testing.assert_allclose(evaluated(keras, identity(keras, (3,)), loss(both), x, x + 3), 0.5 * 9 + 2 * 3, rtol=1e-5)
    model, weights = identity(keras, (3,)), np.array([1.0, 0.0, 3.0, 0.0])
    model.compile(loss=loss(both), optimizer=keras.optimizers.SGD(0.1))
    history = model.fit(x, 2 * x, sample_weight=weights, batch_size=4, verbose=0).history["loss"]
    each = (0.5 * x.astype(float) ** 2 + 2 * abs(x.astype(float))).mean(-1)
    np.testing.assert_allclose(history, (weights * each).sum() / 4, rtol=1e-5)


def test_a_partial_is_a_loss_with_options(keras, tmp_path):
    from jloss.compat.keras import loss

    half = functools.partial(functools.partial(jloss.huber, delta=9.0), delta=0.5)
    model, x = identity(keras, (3,)), np.ones((2, 3), np.float32)
    np.testing.assert_allclose(evaluated(keras, model, loss(half), x, x + 2), jloss.huber(x, x + 2, delta=0.5), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").loss.options == {"delta": 0.5}


SAVED = [
    (jloss.huber, {"delta": 2.0}, "float"),
    (jloss.cross_entropy, {"label_smoothing": 0.2, "reduction": "sum"}, "class"),
    (jloss.sigmoid_cross_entropy, {"positive_weight": jnp.array(3.0)}, "unit"),
    (jloss.sigmoid_cross_entropy, {"positive_weight": jnp.array([1.0, 2.0, 3.0], jnp.bfloat16)}, "unit"),
    (jloss.dice, {"spatial_ndim": 1, "smooth_numerator": 0.5}, "unit"),
    (jloss.multi_resolution_stft, {"fft_sizes": (4, 8), "hop_sizes": (1, 2), "window_lengths": (4, 6)}, "signal"),
]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
@pytest.mark.parametrize(("function", "options", "kind"), SAVED, ids=[f.__name__ for f, _, _ in SAVED])
def test_a_compiled_model_is_saved_and_loaded(keras, tmp_path, function, options, kind, file):
    from jloss.compat.keras import loss

    rng, width = np.random.default_rng(11), 40 if kind == "signal" else 3
    x = rng.uniform(0.1, 0.9, size=(4, width)).astype(np.float32)
    y = rng.integers(0, 3, 4) if kind == "class" else (x > 0.5).astype(np.float32)
    model = identity(keras, (width,))
    before = evaluated(keras, model, loss(function, **options), x, y)
    np.testing.assert_allclose(before, function(x, y, **options), rtol=1e-5)
    model.save(tmp_path / file)
    loaded = keras.models.load_model(tmp_path / file)
    assert loaded.loss.function is function
    assert loaded.loss.name == function.__name__
    np.testing.assert_allclose(loaded.evaluate(x, y, verbose=0), before, rtol=1e-6)
    if file.endswith(".keras"):  # of the other kind Keras 3.15 has no variables of the optimizer
        model.fit(x, y, batch_size=4, verbose=0)
        loaded.fit(x, y, batch_size=4, verbose=0)
        np.testing.assert_allclose(loaded.get_weights()[0], model.get_weights()[0], rtol=1e-5, atol=1e-7)
    for again in (pickle.loads(pickle.dumps(model.loss)), copy.deepcopy(model.loss)):
        np.testing.assert_allclose(again(y, x), before, rtol=1e-5)


@jloss.loss("(),()->()", "real real")
def huber(predictions: jax.Array, targets: jax.Array, **reduce: Unpack[jloss.Reduce]) -> jax.Array:
    """A loss of one's own, by the name of a known one."""
    return (predictions - targets) ** 4


@pytest.mark.parametrize("function", [huber, jloss.transforms.tilted(jloss.squared_error)], ids=["own", "transformed"])
def test_a_loss_without_a_known_name_is_not_saved(keras, tmp_path, function):
    from jloss.compat.keras import loss

    model = identity(keras, (3,))
    x = np.ones((2, 3), np.float32)
    assert np.isfinite(evaluated(keras, model, loss(function), x, x + 1))
    with pytest.raises(ValueError, match=r"cannot be saved within a Keras model.*save_weights"):
        model.save(tmp_path / "model.keras")


def test_a_saved_loss_that_is_gone(keras):
    from jloss.compat.keras import JLoss

    with pytest.raises(ValueError, match=r"compiled with jloss\.hubber, which this version of jloss does not have"):
        JLoss.from_config({"loss": "hubber", "options": {}, "name": "hubber"})


def test_the_reduction_in_words_of_keras(keras):
    from jloss.compat.keras import loss

    assert loss(jloss.huber).reduction == "mean_with_sample_weight"
    assert loss(jloss.huber, reduction="sum").reduction == "sum"
    assert loss(jloss.huber, reduction="none").reduction is None
    assert loss(jloss.huber, reduction="sum").call(np.zeros((2, 3)), jnp.ones((2, 3))).shape == (2, 3)
    with pytest.raises(ValueError, match="huber: `reduction` must be one of mean, sum, none in a Keras model, got 'parts'"):
        loss(jloss.huber, reduction="parts")


RESHAPED = [
    ((4,), (4, 1)),
    ((4, 1), (4,)),
    ((4, 3, 1), (4, 3)),
    ((4, 3), (4, 3, 1)),
    ((1, 4), (4, 1)),
]


@pytest.mark.parametrize(("given", "wanted"), RESHAPED)
def test_axes_of_one_may_differ(keras, given, wanted):
    from jloss.compat.keras import loss

    numbers = np.arange(np.prod(given), dtype=np.float32)
    assert loss(jloss.squared_error)(numbers.reshape(given), jnp.asarray(numbers.reshape(wanted) + 3)) == 9
    labels = (numbers.reshape(given) % 2).astype(int)
    scores = jnp.asarray(np.eye(2, dtype=np.float32)[labels.reshape(wanted)])
    np.testing.assert_allclose(loss(jloss.cross_entropy)(labels, scores), np.log1p(np.exp(-1)), rtol=1e-6)


LAYOUTS = [
    (jloss.squared_error, (3, 2), (2, 3)),
    (jloss.squared_error, (2, 3, 4, 4), (2, 4, 4, 3)),
    (jloss.squared_error, (6,), (2, 3)),
    (jloss.squared_error, (3,), (2, 3)),
    (jloss.dice, (2, 4, 5), (2, 5, 4)),
    (jloss.soft_cross_entropy, (4, 3), (3, 4)),
    (jloss.cross_entropy, (6, 4), (4, 6, 3)),
    (jloss.cross_entropy, (4, 3), (4, 3)),
    (jloss.lovasz_softmax, (2, 5, 4), (2, 4, 5, 3)),
    (jloss.sequence_cross_entropy, (6, 4), (4, 6, 3)),
]


@pytest.mark.parametrize(("function", "given", "predicted"), LAYOUTS)
def test_targets_of_another_layout_are_an_error(keras, function, given, predicted):
    from jloss.compat.keras import loss

    said = rf"must have the shape .* where `\w+` has {re.escape(str(predicted))}; got {re.escape(str(given))}"
    with pytest.raises(ValueError, match=f"{function.__name__}: .*{said}"):
        loss(function)(np.zeros(given, np.float32), jnp.zeros(predicted))


def test_targets_of_another_layout_stop_evaluate_and_fit(keras):
    from jloss.compat.keras import loss

    model, x = identity(keras, (2, 3)), np.zeros((4, 2, 3), np.float32)
    said = r"squared_error: `targets` must have the shape \(4, 2, 3\).*; got \(4, 3, 2\)"
    with pytest.raises(ValueError, match=said):
        evaluated(keras, model, loss(jloss.squared_error), x, np.zeros((4, 3, 2)))
    with pytest.raises(ValueError, match=said):
        model.fit(x, np.zeros((4, 3, 2)), verbose=0)


def test_a_label_that_is_no_whole_number_is_nan(keras):
    from jloss.compat.keras import loss

    values = loss(jloss.cross_entropy, reduction="none")(np.array([1.0, 0.4, np.nan, 2.0]), jnp.zeros((4, 3)))
    np.testing.assert_allclose(values, [np.log(3), np.nan, np.nan, np.log(3)], rtol=1e-6)


def test_without_keras(monkeypatch, keras):
    import jloss.compat.keras as adapter

    monkeypatch.setattr(adapter, "keras", None)
    for missing, remedy in (("keras", "pip install keras"), ("tensorflow", "set KERAS_BACKEND=jax")):
        monkeypatch.setattr(adapter, "_missing", missing, raising=False)
        with pytest.raises(ImportError, match=f"{missing} is not installed; .*{remedy}"):
            adapter.loss(jloss.huber)


@pytest.mark.slow
def test_another_program_loads_the_model(keras, tmp_path):
    from jloss.compat.keras import loss

    model = identity(keras, (3,))
    x, path = np.ones((2, 3), np.float32), tmp_path / "model.keras"
    value = evaluated(keras, model, loss(jloss.huber, delta=0.5), x, x + 2)
    model.save(path)
    program = (
        f"import numpy as np, keras, jloss.compat.keras; x = np.ones((2, 3), 'f'); "
        f"print(keras.models.load_model({str(path)!r}).evaluate(x, x + 2, verbose=0))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": "jax"})
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_allclose(float(ran.stdout.split()[-1]), value, rtol=1e-6)
