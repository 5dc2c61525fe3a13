"""Transforms: each obeys one law of its own, keeps the contract, and composes with the others two deep."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss
from jloss.testing import LAWS, check
from jloss.transforms import regularized, tilted, tolerant, weighted_sum

P = jnp.array([2.0, 0.0, 1.5, -1.0, 0.9])
T = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0])
WEIGHTS = jnp.array([1.0, 2.0, 0.5, 0.0, 3.0])
WHERE = jnp.array([True, True, False, True, True])
LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)
LABELS = jnp.array([0, 3, 1, 2, 0])
CONTRACT = [law for law in LAWS if law != "pickles_by_name"]  # a function made by a function has no name to pickle by


def ridge(params):
    return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params))


def gradient(loss, *inputs, **keywords):
    return jax.value_and_grad(loss, argnums=0)(*inputs, **keywords)


def same(first, second):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), first, second)


# ---------------------------------------------------------------- the law of each


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_tilted_absolute_error_is_quantile(q):
    same(gradient(tilted(jloss.absolute_error, 1 - q, q), P, T), gradient(jloss.quantile, P, T, q=q))
    same(gradient(tilted(jloss.squared_error, 1 - q, q), P, T), gradient(jloss.expectile, P, T, q=q))


@pytest.mark.parametrize("loss", [jloss.huber, jloss.poisson_nll, jloss.log_cosh])
def test_tilted_by_one_and_tolerant_of_nothing_are_the_loss(loss):
    same(gradient(tilted(loss), P, T), gradient(loss, P, T))
    same(gradient(tolerant(loss, 0.0), P, T), gradient(loss, P, T))


def test_tolerant_is_epsilon_insensitive():
    same(gradient(tolerant(jloss.absolute_error, 0.3), P, T), gradient(jloss.epsilon_insensitive, P, T, epsilon=0.3))
    same(gradient(tolerant(jloss.squared_error, 0.3), P, T), gradient(jloss.squared_epsilon_insensitive, P, T, epsilon=0.3))


def test_tolerant_has_no_gradient_up_to_its_border():
    inputs = jnp.array([0.0, 0.25, -0.25, 0.2500001])
    slope = jax.grad(tolerant(jloss.absolute_error, 0.25))(inputs, jnp.zeros(4), reduction="sum")
    np.testing.assert_array_equal(slope, [0, 0, 0, 1])


def test_structural_risk_is_empirical_risk_plus_penalty():
    params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array(3.0)}
    risk = regularized(jloss.cross_entropy, ridge, 0.5)
    same(risk(LOGITS, LABELS, params, label_smoothing=0.1), jloss.cross_entropy(LOGITS, LABELS, label_smoothing=0.1) + 7.0)
    slope = jax.grad(risk, argnums=2)(LOGITS, LABELS, params, where=WHERE, weights=WEIGHTS)
    same(slope, params)  # 0.5 * 2 * params, whatever the masks
    same(risk(LOGITS, LABELS, params=params, axis=-1), risk(LOGITS.T, LABELS, params, axis=0))


def test_regularized_accumulates_exactly_over_micro_batches():
    risk = regularized(jloss.huber, ridge, 0.1)
    pieces = [risk(P[s], T[s], P, weights=WEIGHTS[s], reduction="parts") for s in (slice(0, 2), slice(2, 5))]
    total, mass = jax.tree.map(lambda *x: sum(x), *pieces)
    same(total / mass, risk(P, T, P, weights=WEIGHTS))


def test_weighted_sum_of_one_is_the_loss():
    one = weighted_sum({"only": (1.0, jloss.huber)})
    for reduction in ("mean", "sum", "none", "parts"):
        keywords = {"where": WHERE, "weights": WEIGHTS, "reduction": reduction}
        total, parts = one(P, T, **keywords)
        same(total, jloss.huber(P, T, **keywords))
        same(parts, {"only": jloss.huber(P, T, **keywords)})


def test_weighted_sum_returns_total_and_unweighted_parts():
    both = weighted_sum({"near": (2.0, jloss.huber), "far": (0.5, jloss.absolute_error)})
    for reduction in ("mean", "sum", "none"):
        total, parts = both(P, T, delta=0.5, weights=WEIGHTS, reduction=reduction)
        same(parts["near"], jloss.huber(P, T, delta=0.5, weights=WEIGHTS, reduction=reduction))
        same(total, 2.0 * parts["near"] + 0.5 * parts["far"])


def test_weights_may_be_schedules():
    ramp = weighted_sum({"a": (optax.linear_schedule(0.0, 1.0, 10), jloss.huber), "b": (1.0, jloss.absolute_error)})
    traces = 0

    @jax.jit
    def step(i):
        nonlocal traces
        traces += 1
        return ramp(P, T, step=i)

    for i in (0, 5, 10):
        total, parts = step(jnp.array(i))
        same(total, i / 10 * parts["a"] + parts["b"])
    assert traces == 1
    with pytest.raises(TypeError, match=re.escape("weighted_sum: `step` is needed, the weight of 'a' is a schedule.")):
        ramp(P, T)


def test_weighted_sum_of_tasks_routes_inputs_by_name():
    tasks = weighted_sum({"depth": (1.0, jloss.huber), "kind": (0.1, jloss.cross_entropy)})
    wanted = jloss.huber(P, T) + 0.1 * jloss.cross_entropy(LOGITS, LABELS)
    same(tasks(predictions=P, targets=T, logits=LOGITS, labels=LABELS)[0], wanted)
    same(tasks(P, T, LOGITS, LABELS)[0], wanted)
    same(tasks(depth=(P, T), kind=(LOGITS, LABELS))[0], wanted)
    assert list(inspect.signature(tasks).parameters)[:4] == ["predictions", "targets", "logits", "labels"]
    with pytest.raises(ValueError, match="'logits' is an input or option"):
        weighted_sum({"logits": (1.0, jloss.cross_entropy)})


# ---------------------------------------------------------------- the contract


TRANSFORMED = {
    "tilted": lambda: tilted(jloss.huber, 2.0, 0.5),
    "tolerant": lambda: tolerant(jloss.pseudo_huber, 0.05),
    "regularized": lambda: regularized(jloss.cross_entropy, ridge, 0.1),
    "weighted_sum": lambda: jloss.entry(weighted_sum({"a": (1.0, jloss.cross_entropy), "b": (0.5, jloss.softmax_focal)})).public,
    "tilted_tolerant": lambda: tilted(tolerant(jloss.huber, 0.05), 2.0),
    "tilted_regularized": lambda: tilted(regularized(jloss.huber, ridge, 0.1), 2.0),
    "regularized_weighted_sum": lambda: regularized(weighted_sum({"a": (1.0, jloss.huber), "b": (0.5, jloss.log_cosh)}), ridge),
}


QUICK = ["batch_equals_one_by_one", "masked_equals_absent", "parts_add_up", "shard_map_equals_one_device"]
IN_FULL = ("tilted_tolerant", "regularized")


@pytest.mark.parametrize("name", TRANSFORMED)
def test_keeps_the_contract(name):
    report = check(TRANSFORMED[name](), laws=CONTRACT if name in IN_FULL else QUICK)
    assert report, str(report)


def test_options_of_a_transform_are_traced_and_learnable():
    loss = tilted(jloss.squared_error, over=1.0)
    slope = jax.grad(lambda over: loss(P, T, over=over, reduction="sum"))(4.0)
    same(slope, jnp.sum(jnp.where(P > T, jnp.square(P - T), 0)))
    learned = jax.grad(lambda over: tilted(jloss.squared_error, over=over)(P, T, reduction="sum"))(4.0)
    same(learned, slope)


def test_shows_itself():
    loss = regularized(tilted(jloss.huber, 2.0), ridge)
    found = jloss.entry(loss)
    assert loss.__name__ == found.name == "regularized(tilted(huber))"
    assert list(found.inputs) == ["predictions", "targets", "params"]
    shown = inspect.signature(loss).parameters
    assert list(shown)[:3] == list(found.inputs)
    assert {"delta", "over", "under", "where", "weights", "reduction", "axis_name"} <= shown.keys()
    assert shown["over"].default == 2.0
    assert "Squared error near zero" in inspect.getdoc(loss)
    assert not any("(" in name for name in jloss.CATALOGUE)


def test_a_partial_is_a_loss_with_other_defaults():
    narrow = functools.partial(jloss.huber, delta=0.25)
    same(tilted(narrow, 2.0)(P, T), tilted(jloss.huber, 2.0)(P, T, delta=0.25))
    both = weighted_sum({"a": (1.0, narrow), "b": (1.0, jloss.huber)})
    same(both(P, T)[0], jloss.huber(P, T, delta=0.25) + jloss.huber(P, T))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tilted(jloss.cross_entropy), "tilted: needs an elementwise loss of predictions and targets in one unit"),
        (lambda: tolerant(jloss.sigmoid_cross_entropy, 0.1), "sigmoid_cross_entropy takes logits (real), targets (unit)."),
        (lambda: tolerant(jloss.huber, -1.0), "tolerant: `margin` must be 0 or more, got -1.0."),
        (lambda: regularized(jloss.huber, lambda w: w)(P, T, P), "regularized: a penalty must be one number, got shape (5,)."),
        (lambda: weighted_sum({}), "weighted_sum: needs at least one loss."),
        (lambda: tilted(lambda p, t: p - t), "'<lambda>' is not a jloss loss"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make()
