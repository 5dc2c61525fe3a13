"""Where a call is traced: into the program of its caller, or into one of its own."""

from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import PartitionSpec as P

import jloss
from tests.compiled import compiled_by

X = jnp.array([0.5, -1.0, 3.0, 0.0])
seen: list = []


@jloss.loss("(),()->()", "real real")
def watched(predictions: Array, targets: Array, *, delta: float = 1.0, **reduce: Unpack[jloss.Reduce]) -> Array:
    """Half the squared error times delta; it notes whether what it computes is compiled, and whether it knows delta."""
    seen.append((isinstance(jnp.zeros(()), jax.core.Tracer), isinstance(delta, jax.core.Tracer)))
    return delta * jnp.square(predictions - targets) / 2


def value(x, **given):
    return watched(x, jnp.zeros_like(x), **given)


MESH = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
WAYS = {
    "bare": (lambda f: f(X), False),
    "grad": (lambda f: jax.grad(f)(X), False),
    "vmap": (lambda f: jax.vmap(f)(jnp.stack([X, X])), False),
    "jvp": (lambda f: jax.jvp(f, (X,), (X,)), False),
    "hessian": (lambda f: jax.hessian(f)(X), False),
    "shard_map": (lambda f: jax.shard_map(lambda x: f(x)[None], mesh=MESH, in_specs=P("d"), out_specs=P("d"))(X), None),
    "jit": (lambda f: jax.jit(f)(X), True),
    "jit of grad": (lambda f: jax.jit(jax.grad(f))(X), True),
    "jit of vmap of grad": (lambda f: jax.jit(jax.vmap(jax.grad(f)))(jnp.stack([X, X])), True),
    "jit of hessian": (lambda f: jax.jit(jax.hessian(f))(X), True),
    "scan": (lambda f: jax.lax.scan(lambda c, x: (c + f(x), None), 0.0, jnp.stack([X, X])), True),
    "checkpoint": (lambda f: jax.grad(jax.checkpoint(f))(X), True),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_formula_is_always_compiled_and_by_its_caller_where_it_has_one(way):
    """No operation is compiled alone. A caller's program knows the options that the caller knows: it need not compute with them."""
    run, into_callers = WAYS[way]
    jax.clear_caches()
    seen.clear()
    run(lambda x: value(x, delta=2.0))
    assert seen
    assert all(compiled for compiled, _ in seen)
    if into_callers is not None:
        assert {traced for _, traced in seen} == {not into_callers}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "inputs"),
    [
        (jloss.ciou, (np.array([[0.0, 0, 1, 2]]), np.array([[0.0, 0, 2, 2]]))),
        (jloss.ctc, (np.zeros((2, 6, 4)), np.array([[1, 2], [3, 1]]))),
        (jloss.renyi_divergence, (np.log(np.full((4, 2), 0.5)), np.full((4, 2), 0.5))),
        (jloss.soft_dtw, (np.zeros((5, 3)), np.ones((6, 3)))),
    ],
)
@pytest.mark.parametrize("derivative", [jax.grad, jax.value_and_grad])
def test_a_gradient_outside_of_jit_is_compiled_as_a_whole_and_once(loss, inputs, derivative):
    inputs = [jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else jnp.int32) for x in inputs]
    jax.clear_caches()
    # The value, its gradient, and the 1 with which that begins.
    assert 0 < compiled_by(lambda: derivative(loss)(*inputs)) <= 4
    derivative(loss)(*inputs)
    assert compiled_by(lambda: derivative(loss)(*inputs)) == 0


@pytest.mark.parametrize("targets", [np.zeros(4, np.float32), 0.0, [0.0, 0.0, 0.0, 0.0]], ids=["numpy", "number", "list"])
def test_what_is_no_array_of_jax_is_taken_as_ever(targets):
    expected = jax.value_and_grad(lambda x: jnp.mean(jnp.square(x)) / 2)(X)
    np.testing.assert_allclose(jax.jit(lambda x: watched(x, targets))(X), expected[0], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda x: watched(x, targets)))(X), expected[1], rtol=1e-6)


def test_profiles_name_the_loss_inside_of_a_program():
    text = jax.jit(lambda x: value(x)).lower(X).as_text(debug_info=True)
    assert "watched" in text


def test_a_formula_with_a_loop_is_a_loop_in_the_program():
    @jloss.loss("(),()->()", "real real")
    def repeated(predictions: Array, targets: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
        """Halves the difference a thousand times."""
        return jnp.abs(jax.lax.fori_loop(0, 1000, lambda _, x: x / 2, predictions - targets))

    program = jax.make_jaxpr(lambda x: repeated(x, jnp.zeros_like(x)))(jnp.ones(1 << 17))
    assert str(program).count("div") < 10


def counted(dtype):
    @jloss.loss("(),()->()", "real real")
    def mismatch(predictions: Array, targets: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
        """1 where they differ."""
        return (predictions != targets).astype(dtype)

    return mismatch


@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 200_000])
@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8", "bfloat16"])
def test_a_core_may_count(dtype, size):
    """The mean of integers was an integer, 0 for 1/4, and that of booleans none."""
    where, weights = jnp.arange(size) < size // 2, jnp.where(jnp.arange(size) == 0, 3.0, 1.0)
    predictions, targets, loss = jnp.zeros(size), (jnp.arange(size) % 4 == 0).astype(jnp.float32), counted(dtype)
    calls = [{"reduction": r} | kept for r in ("mean", "sum", "none", "parts") for kept in ({}, {"where": where}, {"weights": weights})]
    for call in calls:
        for one in (loss, jloss.chunked(loss, size // 2)):
            for got, want in zip(
                jax.tree.leaves(one(predictions, targets, **call)),
                jax.tree.leaves(jloss.squared_error(predictions, targets, **call)),
                strict=True,
            ):
                assert got.dtype == jnp.float32
                np.testing.assert_allclose(got, want, rtol=1e-5)
    total = jloss.weighted_sum({"a": (0.5, loss)})
    np.testing.assert_allclose(jloss.hardest(total, 1.0)(predictions, targets), 0.125)
    np.testing.assert_allclose(total(predictions, targets)[0], 0.125)


def test_a_complex_core_is_no_loss():
    with pytest.raises(TypeError, match="mismatch: one example must give one real number; the core gave complex64"):
        counted("complex64")(X, X)
