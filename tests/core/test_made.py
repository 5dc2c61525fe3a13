"""What other functions make, `tilted(huber)` or `seesaw()`: it pickles, copies, and is equal where it was made alike."""

import copy
import functools
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss
from jloss.transforms import (
    chunked,
    deep_supervision,
    hardest,
    linear_head,
    permutation_invariant,
    regularized,
    smoothed_metric,
    symmetric,
    tilted,
    tolerant,
    trimmed,
    uncertainty_weighted,
    weighted_sum,
)
from tests.compiled import compiled_by

P, T = jnp.array([2.0, 0.0, 1.5]), jnp.array([1.0, 1.0, 1.0])
Z, Y = jnp.array([[1.0, 0.0], [0.5, 2.0]]), jnp.array([0, 1])
HIDDEN, KERNEL = jnp.array([[1.0, -1.0], [0.0, 2.0]]), jnp.array([[1.0, 0.0], [0.5, -0.5]])
narrow = functools.partial(jloss.huber, delta=0.25)


def ridge(params):
    return jnp.sum(jnp.square(params))


def accuracy(choice, target):
    return jnp.sum(choice * target)


MADE = {  # how it is made, how it is made otherwise, what it is given
    "tilted": (lambda: tilted(jloss.huber, over=2.0), lambda: tilted(jloss.huber, over=3.0), (P, T)),
    "tilted_by_arrays": (lambda: tilted(jloss.huber, jnp.float32(2)), lambda: tilted(jloss.huber, jnp.float32(3)), (P, T)),
    "tilted_by_numpy": (lambda: tilted(jloss.huber, np.float64(2)), lambda: tilted(jloss.huber, np.float64(3)), (P, T)),
    "tolerant": (lambda: tolerant(jloss.huber, 0.1), lambda: tolerant(jloss.log_cosh, 0.1), (P, T)),
    "symmetric": (lambda: symmetric(jloss.huber), lambda: symmetric(jloss.linex), (P, T)),
    "regularized": (lambda: regularized(jloss.huber, ridge, 0.1), lambda: regularized(jloss.huber, jloss.l1, 0.1), (P, T, P)),
    "regularized_by_some": (
        lambda: regularized(jloss.huber, functools.partial(jloss.l2, where=None), jnp.array(0.5)),
        lambda: regularized(jloss.huber, functools.partial(jloss.l2), jnp.array(0.5)),
        (P, T, P),
    ),
    "permutation_invariant": (
        lambda: permutation_invariant(jloss.squared_error),
        lambda: permutation_invariant(jloss.huber),
        (P[:, None], T[:, None]),
    ),
    "hardest": (lambda: hardest(jloss.huber, 0.5), lambda: trimmed(jloss.huber, 0.5), (P, T)),
    "trimmed": (lambda: trimmed(jloss.huber, 0.5), lambda: trimmed(jloss.huber, 0.4), (P, T)),
    "chunked": (lambda: chunked(jloss.huber, 2), lambda: chunked(jloss.huber, 2, "recompute"), (P, T)),
    "linear_head": (lambda: linear_head(jloss.cross_entropy, 2), lambda: linear_head(jloss.cross_entropy), (HIDDEN, KERNEL, Y)),
    "matryoshka": (
        lambda: jloss.matryoshka(jloss.squared_euclidean, (1, 2)),
        lambda: jloss.matryoshka(jloss.squared_euclidean, (2, 1)),
        (Z, Z + 1),
    ),
    "weighted_sum": (
        lambda: weighted_sum({"a": (1.0, jloss.huber), "b": (jnp.float32(0.5), tilted(narrow))}),
        lambda: weighted_sum({"a": (1.0, jloss.huber), "b": (jnp.float32(0.25), tilted(narrow))}),
        (P, T),
    ),
    "uncertainty_weighted": (
        lambda: functools.partial(uncertainty_weighted({"a": jloss.huber, "b": jloss.log_cosh}), log_variances=[0.0, 1.0]),
        lambda: functools.partial(uncertainty_weighted({"b": jloss.log_cosh, "a": jloss.huber}), log_variances=[0.0, 1.0]),
        (P, T),
    ),
    "deep_supervision": (
        lambda: deep_supervision(jloss.huber, [1.0, 0.5]),
        lambda: deep_supervision(jloss.huber, [1.0, 0.25]),
        ((P, 2 * P), T),
    ),
    "smoothed_metric": (
        lambda: smoothed_metric(accuracy, 0.5, decision="threshold"),
        lambda: smoothed_metric(accuracy, 0.5, decision="argmax"),
        (Z, Z),
    ),
    "partial": (lambda: tilted(narrow, 2.0), lambda: tilted(functools.partial(jloss.huber, delta=0.5), 2.0), (P, T)),
    "nested": (
        lambda: tilted(hardest(regularized(tolerant(narrow, 0.1), ridge), 0.5), 2.0),
        lambda: tilted(hardest(regularized(tolerant(narrow, 0.2), ridge), 0.5), 2.0),
        (P, T, P),
    ),
    "below": (lambda: tilted(regularized(narrow, ridge), 2.0), lambda: tilted(regularized(narrow, ridge), 1.0), (P, T, P)),
    "partial_of_a_transform": (
        lambda: chunked(functools.partial(tilted(jloss.huber), over=2.0), 2),
        lambda: chunked(functools.partial(tilted(jloss.huber), over=3.0), 2),
        (P, T),
    ),
    "head_below": (
        lambda: linear_head(hardest(jloss.cross_entropy, 0.5)),
        lambda: linear_head(hardest(jloss.cross_entropy, 0.25)),
        (HIDDEN, KERNEL, Y),
    ),
}
FACTORIES = sorted(name for name, entry in jloss.CATALOGUE.items() if entry.kind == "stateful")


def loss_of(made):
    """The made loss itself, where it comes with an argument for the test."""
    return made.func if isinstance(made, functools.partial) else made


@pytest.mark.parametrize("name", MADE)
def test_pickles_and_is_equal_where_made_alike(name):
    make, otherwise, inputs = MADE[name]
    loss, twin, other = loss_of(make()), loss_of(make()), loss_of(otherwise())
    for same in (twin, pickle.loads(pickle.dumps(loss)), copy.copy(loss), copy.deepcopy(loss), copy.deepcopy({"loss": loss})["loss"]):
        assert same == loss
        assert hash(same) == hash(loss)
        assert inspect.signature(same) == inspect.signature(loss)
        assert (same.__name__, same.__doc__) == (loss.__name__, loss.__doc__)
    assert other != loss
    assert loss != jloss.huber
    keywords = getattr(make(), "keywords", {})
    jax.tree.map(np.testing.assert_array_equal, pickle.loads(pickle.dumps(loss))(*inputs, **keywords), loss(*inputs, **keywords))


@pytest.mark.parametrize("name", MADE)
def test_equal_ones_are_one_cache_entry_of_jit(name):
    make, otherwise, inputs = MADE[name]
    keywords = getattr(make(), "keywords", {})
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def step(loss, inputs):
        traced.append(loss)
        return loss(*inputs, **keywords)

    values = [step(loss_of(made()), inputs) for made in (make, make, otherwise, make)]
    assert len(traced) == 2
    jax.tree.map(np.testing.assert_array_equal, values[0], values[3])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), values[2], loss_of(otherwise())(*inputs, **keywords))


@pytest.mark.parametrize(
    "call",
    [
        lambda: tilted(jloss.huber, 2.0)(P, T),
        lambda: chunked(functools.partial(tilted(jloss.huber), over=np.float32(3.0)), 2)(P, T),
        lambda: jax.grad(linear_head(jloss.cross_entropy))(HIDDEN, KERNEL, Y),
        lambda: linear_head(hardest(jloss.cross_entropy, 0.5))(HIDDEN, KERNEL, Y),
        lambda: jloss.spectral({"kernel": KERNEL}),
        lambda: jax.grad(jloss.spectral)({"kernel": KERNEL}),
    ],
)
def test_what_is_made_anew_is_compiled_once(call):
    """Outside of jit, too, as in a notebook: what is there after two calls is there for good."""
    jax.clear_caches()
    assert compiled_by(call)
    call()
    assert not compiled_by(call)


def test_what_may_change_is_traced_anew():
    scale = [1.0]

    def metric(choice, target):
        return scale[0] * jnp.sum(choice * target)

    def value():
        return jloss.smoothed_metric(metric, decision="threshold")(jnp.zeros(1), jnp.ones(1))

    assert value() == 0.5
    scale[0] = 2.0
    assert value() == 0.0
    assert tilted(jloss.huber, jnp.array(2.0)) is not tilted(jloss.huber, jnp.array(2.0))  # an array lies on a device


def test_the_contract_of_a_made_loss():
    loss = tilted(jloss.huber, 2.0)
    assert callable(loss)
    assert jloss.entry(loss).public is loss
    assert list(inspect.signature(loss).parameters)[:3] == ["predictions", "targets", "delta"]
    assert "Squared error near zero" in inspect.getdoc(loss)
    assert repr(loss) == "<loss tilted(huber)>"
    assert inspect.isfunction(jloss.huber)  # a plain loss stays a plain function

    class Model:
        criterion = loss  # no method of the model

    np.testing.assert_array_equal(Model().criterion(P, T), loss(P, T))


def test_what_is_given_is_copied():
    """Neither an array nor a dict that changes afterwards changes the loss, nor what it equals."""
    weight, losses = np.float32([0.5]), {"a": (1.0, jloss.huber)}
    fit, total = regularized(jloss.huber, ridge, weight[0:1].reshape(())), weighted_sum(losses)
    before = fit(P, T, P), total(P, T)[0]
    weight[:] = 7.0
    losses["a"] = (5.0, jloss.huber)
    assert (fit(P, T, P), total(P, T)[0]) == before
    assert fit == regularized(jloss.huber, ridge, np.array(0.5, np.float32))
    assert total == weighted_sum({"a": (1.0, jloss.huber)})


def test_arrays_are_compared_by_what_they_hold():
    def of(weight):
        return regularized(jloss.huber, ridge, weight)

    assert of(jnp.array(0.5)) == of(jnp.array(0.5)) == of(jnp.array(1.0) / 2)
    assert of(jnp.array(0.5)) != of(jnp.array(0.5, jnp.bfloat16))
    assert of(jnp.array(float("nan"))) == of(jnp.array(float("nan")))
    assert of(float("nan")) == of(float("nan"))
    assert of(0.0) != of(-0.0)
    assert of(1) != of(True)


def test_options_that_are_traced_are_themselves():
    losses = []

    @jax.grad
    def slope(over):
        losses.extend(tilted(jloss.squared_error, over=over) for _ in range(2))
        return losses[0](P, T)

    np.testing.assert_allclose(slope(2.0), (1.0 + 0.25) / 3)
    assert losses[0] == losses[1]
    assert len({*losses, tilted(jloss.squared_error, over=2.0)}) == 2


def test_what_cannot_pickle_says_so_itself():
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(regularized(jloss.huber, lambda w: 0.0))
    penalty, ramp = (lambda w: 0.0), optax.linear_schedule(0.0, 1.0, 10)
    assert regularized(jloss.huber, penalty) == regularized(jloss.huber, penalty)
    assert weighted_sum({"a": (ramp, jloss.huber)}) == weighted_sum({"a": (ramp, jloss.huber)})


@pytest.mark.parametrize("name", FACTORIES)
def test_stateful_losses(name):
    factory = getattr(jloss, name)
    option = next(n for n in ("momentum", "p", "scale", "strength") if n in jloss.CATALOGUE[name].options)
    criterion, other = factory(), factory(**{option: 0.125})
    for same in (factory(), factory(**jloss.CATALOGUE[name].options), pickle.loads(pickle.dumps(criterion)), copy.deepcopy(criterion)):
        assert same == criterion
        assert hash(same) == hash(criterion)
        assert same.apply == criterion.apply
        assert same.init == criterion.init
    assert other != criterion
    assert other.apply != criterion.apply
    assert other.init != criterion.init
    assert criterion.init != criterion.apply
    assert pickle.loads(pickle.dumps(criterion.apply)) == criterion.apply
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def step(criterion):
        traced.append(criterion)
        return 0

    for each in (criterion, factory(), other, pickle.loads(pickle.dumps(other))):
        step(each)
    assert len(traced) == 2
