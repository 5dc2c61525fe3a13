"""Transforms in and on each other, against the same composition written by hand."""

import functools
import re
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jloss
from jloss.transforms import (
    chunked,
    deep_supervision,
    hardest,
    linear_head,
    matryoshka,
    regularized,
    smoothed_metric,
    tilted,
    tolerant,
    trimmed,
    uncertainty_weighted,
    weighted_sum,
)
from tests.core.test_transforms import LABELS, WEIGHTS, WHERE, P, T, ridge, same

RNG = np.random.default_rng(0)
HIDDEN, KERNEL = (jnp.asarray(RNG.normal(size=s), jnp.float32) for s in ((5, 4), (4, 4)))
FIRST, SECOND = (jnp.asarray(RNG.normal(size=(5, 4)), jnp.float32) for _ in range(2))
PARAMS = (jnp.array([1.0, 2.0]), jnp.array(3.0))
CALLS = [
    {"reduction": "mean"},
    {"reduction": "mean", "where": WHERE, "weights": WEIGHTS},
    {"reduction": "none", "where": WHERE, "weights": WEIGHTS},
    {"reduction": "parts", "where": WHERE},
]


def close(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), got, want)


def slopes(function, *inputs):
    """Value, and the gradient of the sum of all numbers of it."""
    return function(*inputs), jax.grad(lambda *a: sum(map(jnp.sum, jax.tree.leaves(function(*a)))), range(len(inputs)))(*inputs)


# ---------------------------------------------------------------- lengths of embeddings


BATCHES = {
    "hardest": lambda loss: hardest(loss, 0.5),
    "trimmed": lambda loss: trimmed(loss, 0.3),
    "regularized": lambda loss: regularized(loss, ridge, 0.5),
    "chunked": lambda loss: chunked(loss, 2),
    "hardest_regularized": lambda loss: hardest(regularized(loss, ridge, 0.5), 0.5),
    "deep_supervision": lambda loss: deep_supervision(loss, (1.0, 0.5)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BATCHES)
def test_lengths_go_below_what_takes_hold_of_a_batch(name):
    """`matryoshka` of the hardest examples was the mean of all, a penalty counted once per length, and chunks were held at once."""
    both = functools.partial(matryoshka, dims=(1, 3), weights=(0.5, 2.0))

    @jloss.loss("(d),(d)->()", "real real")
    def by_hand(predictions, targets, **reduce: Unpack[jloss.Reduce]):
        """The sum of both lengths."""
        square = jnp.square(predictions - targets)
        return 0.5 * square[0] + 2.0 * jnp.sum(square[:3])

    first = (FIRST, 2 * FIRST) if "deep" in name else FIRST
    rest = (SECOND, *((PARAMS,) if "regularized" in name else ()))
    got, want = both(BATCHES[name](jloss.squared_euclidean)), BATCHES[name](by_hand)
    assert got.__name__ == BATCHES[name](both(jloss.squared_euclidean)).__name__
    for call in CALLS:
        close(slopes(lambda *a, c=call: got(*a, **c), first, *rest), slopes(lambda *a, c=call: want(*a, **c), first, *rest))


@pytest.mark.slow
@pytest.mark.parametrize("outer", [lambda loss: loss, lambda loss: hardest(loss, 0.5), lambda loss: chunked(loss, 3)])
@pytest.mark.parametrize("backward", ["cached", "recompute"])
def test_one_kernel_serves_every_length(outer, backward):
    nested = outer(matryoshka(linear_head(jloss.cross_entropy, 2, backward), (2, 4)))

    @jloss.loss("(k),(k),()->()", "real real class")
    def two(short, whole, labels, **reduce: Unpack[jloss.Reduce]):
        """Both cross entropies."""
        return sum(jax.nn.logsumexp(z) - z[labels] for z in (short, whole))

    want = outer(two)
    for call in CALLS:
        close(
            slopes(lambda h, k, c=call: nested(h, k, LABELS, **c), HIDDEN, KERNEL),
            slopes(lambda h, k, c=call: want(h[:, :2] @ k[:, :2].T, h @ k.T, LABELS, **c), HIDDEN, KERNEL),
        )


def test_logits_of_a_nested_head_are_a_chunk_at_a_time():
    nested = matryoshka(linear_head(jloss.cross_entropy, 8), (2, 4))
    shapes = [jax.ShapeDtypeStruct(s, d) for s, d in (((64, 4), jnp.float32), ((99, 4), jnp.float32), ((64,), jnp.int32))]
    program = str(jax.make_jaxpr(jax.grad(nested, (0, 1)))(*shapes))
    assert "8,99]" in program
    assert "64,99]" not in program


# ---------------------------------------------------------------- sums of several losses


ABOVE = {
    "regularized": lambda loss: regularized(loss, ridge, 0.1),
    "hardest": lambda loss: hardest(loss, 0.5),
    "trimmed_regularized": lambda loss: trimmed(regularized(loss, ridge, 0.1), 0.3),
    "deep_supervision": lambda loss: deep_supervision(loss, (1.0, 2.0)),
    "regularized_sum": lambda loss: regularized(weighted_sum({"only": (2.0, loss)}), ridge),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ABOVE)
def test_transforms_of_batches_go_above_a_sum_of_heads(name):
    """They took it for no loss at all."""
    heads = weighted_sum({"a": (1.0, linear_head(jloss.cross_entropy, 2)), "b": (0.5, linear_head(jloss.softmax_focal, 3, "recompute"))})
    plain = weighted_sum({"a": (1.0, jloss.cross_entropy), "b": (0.5, jloss.softmax_focal)})
    params = (PARAMS,) if "regularized" in name else ()
    depths = (lambda x: (x, 2 * x)) if "deep" in name else (lambda x: x)
    for call in CALLS:
        close(
            slopes(lambda h, k, c=call: ABOVE[name](heads)(depths(h), k, LABELS, *params, **c), HIDDEN, KERNEL),
            slopes(lambda h, k, c=call: ABOVE[name](plain)(depths(h @ k.T), LABELS, *params, **c), HIDDEN, KERNEL),
        )


@pytest.mark.slow
def test_a_learned_weighting_of_heads_has_a_penalty():
    loss = regularized(uncertainty_weighted({"a": linear_head(jloss.cross_entropy, 2)}), ridge, 0.1)
    want = 0.5 * (np.exp(-0.3) * jloss.cross_entropy(HIDDEN @ KERNEL.T, LABELS, where=WHERE) + 0.3) + 0.1 * ridge(PARAMS)
    close(loss(HIDDEN, KERNEL, LABELS, PARAMS, log_variances=[0.3], where=WHERE), want)


@pytest.mark.slow
def test_a_sum_with_the_hardest_examples_of_one_loss_has_a_mean_but_no_examples():
    total = weighted_sum({"a": (1.0, hardest(jloss.huber, 0.5)), "b": (2.0, jloss.absolute_error)})
    same(regularized(total, ridge, 0.1)(P, T, PARAMS, where=WHERE), total(P, T, where=WHERE)[0] + 0.1 * ridge(PARAMS))
    for loss, call in ((hardest(total, 0.5), {}), (regularized(total, lambda: 0.0), {"reduction": "none", "params": ()})):
        with pytest.raises(TypeError, match=re.escape("the examples of hardest(huber) count otherwise than those of the others")):
            loss(P, T, **call)
    same(hardest(weighted_sum({"only": (2.0, hardest(jloss.huber, 0.5))}), 1.0)(P, T), 2 * hardest(jloss.huber, 0.5)(P, T))


@pytest.mark.slow
def test_parameters_that_are_a_tuple_are_one_tree_at_every_depth():
    """Each depth took one of them where there were as many."""
    got = deep_supervision(regularized(jloss.huber, ridge, 0.1), (1.0, 2.0))((P, 2 * P), T, PARAMS)
    same(got, jloss.huber(P, T) + 2 * jloss.huber(2 * P, T) + 0.3 * ridge(PARAMS))


def test_values_of_different_examples_are_not_added_up():
    """One example was added to each of three others."""
    both = weighted_sum({"x": (1.0, jloss.huber), "y": (2.0, jloss.absolute_error)})
    depths = deep_supervision(jloss.huber, (1.0, 2.0))
    for call in (
        lambda **given: both(x=(P[:1], T[:1]), y=(P, T), **given)[0],
        lambda **given: depths((P[:1], P), (T[:1], T), **given),
    ):
        assert np.isfinite(call())
        with pytest.raises(ValueError, match=r'reduction="none" needs one batch of examples, but .* have shape \(1,\) and .* \(5,\)'):
            call(reduction="none")


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8,), (2, 4)])
def test_the_hardest_are_chosen_among_all_of_an_explicit_mesh(shape):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Explicit,), devices=jax.devices()[:4])
    p, t = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for _ in range(2))
    keep, weights = p > -0.5, jnp.arange(8.0).reshape(shape)
    for loss in (hardest(jloss.huber, 0.4), trimmed(chunked(jloss.huber, 3), 0.3)):
        for given in ({}, {"where": keep, "weights": weights}):
            with jax.set_mesh(mesh):
                at = NamedSharding(mesh, PartitionSpec(*[None] * (len(shape) - 1), "data"))
                shared = jax.device_put((p, t, given), at)
                got = jax.jit(lambda p, t, given, f=loss: jax.value_and_grad(f)(p, t, **given))(*shared)
            assert got[1].sharding.is_equivalent_to(at, len(shape))
            close(got, jax.value_and_grad(loss)(p, t, **given))


# ---------------------------------------------------------------- what is no number


def metric(decision, target):
    return jnp.sum(decision * target)


SUM, PAIR = {"a": (1.0, jloss.huber)}, {"a": jloss.huber, "b": jloss.absolute_error}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: weighted_sum({"a": (jnp.ones(5), jloss.huber)}), "weighted_sum: `losses['a'][0]` must be one number, got shape (5,)."),
        (
            lambda: weighted_sum({"a": (lambda step: jnp.ones(5), jloss.huber)})(P, T, step=1),
            "weighted_sum: `losses['a'][0](step)` must be one number, got shape (5,).",
        ),
        (lambda: weighted_sum({"a": (jloss.huber, 2.0)}), "weighted_sum: losses['a'] must be (weight, loss), got (loss, weight)?"),
        (lambda: regularized(jloss.huber, ridge, jnp.ones(5)), "regularized: `weight` must be one number, got shape (5,)."),
        (lambda: regularized(jloss.huber, lambda p: None)(P, T, P), "regularized: `penalty(params)` must be a number or an array"),
        (lambda: regularized(jloss.huber, lambda p: jnp.ones((), jnp.complex64))(P, T, P), "regularized: `penalty(params)` must be real"),
        (lambda: hardest(jloss.huber, jnp.array([0.5, 0.5])), "hardest: `fraction` must be one number, got shape (2,)."),
        (lambda: hardest(jloss.huber, np.float32(1.5)), "hardest: `fraction` must be above 0 and up to 1, got 1.5."),
        (lambda: trimmed(jloss.huber, np.array(1.0)), "trimmed: `fraction` must be 0 or more and below 1, got 1.0."),
        (lambda: deep_supervision(jloss.huber, jnp.ones((2, 2))), "deep_supervision: `weights[0]` must be one number, got shape (2,)."),
        (lambda: tilted(jloss.huber, None), "tilted: `over` must be a number or an array"),
        (lambda: tolerant(jloss.huber, None), "tolerant: `margin` must be a number or an array"),
        (lambda: tolerant(jloss.huber, np.float32(-1)), "tolerant: `margin` must be 0 or more, got -1.0."),
        (lambda: jloss.huber(P, T, delta=np.float32(-1)), "huber: `delta` must be greater than 0, got -1.0."),
        (
            lambda: uncertainty_weighted(PAIR)(P, T, log_variances=[0.0]),
            "`log_variances` must be one for each of ['a', 'b'], by name or in this order, got shape (1,).",
        ),
        (lambda: uncertainty_weighted(PAIR)(P, T, log_variances=0.0), "by name or in this order, got 0.0."),
        (
            lambda: uncertainty_weighted(PAIR)(P, T, log_variances={"a": 0.0, "b": jnp.ones(5)}),
            "uncertainty_weighted: `log_variances['b']` must be one number, got shape (5,).",
        ),
        (lambda: uncertainty_weighted(PAIR)(P, T, log_variances={"a": 0.0, "b": None}), "`log_variances['b']` must be a number"),
        (lambda: uncertainty_weighted(PAIR)(P, T, log_variances={"a": 0.0, "b": 0.0, "c": 0.0}), "has 'c', which is none of ['a', 'b']."),
        (lambda: smoothed_metric("accuracy"), "smoothed_metric: `metric` must be a function of decisions and targets, got 'accuracy'."),
        (lambda: smoothed_metric(metric, None), "smoothed_metric: `temperature` must be a number"),
        (lambda: smoothed_metric(metric, samples=2.5), "smoothed_metric: `samples` is static and must be a Python int, got 2.5."),
        (lambda: chunked(jloss.wiou_v3()), "A StatefulLoss is called by .apply(state, ...); it cannot stand where"),
        (
            lambda: tilted(weighted_sum({"a": (1.0, hardest(jloss.huber, 0.5)), "b": (1.0, jloss.huber)})),
            "some of its losses take hold of a whole batch, so that what changes single examples has to go below, around each of them.",
        ),
        (
            lambda: regularized(weighted_sum({"a": (1.0, jloss.squared_error), "b": (1.0, jloss.squared_euclidean)}), ridge),
            "because `predictions` is something else for squared_euclidean than for the others",
        ),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()
