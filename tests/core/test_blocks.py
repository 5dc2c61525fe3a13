"""Large batches that one CPU computes a block at a time, value and gradient: the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from tests.cases import inputs_of_size


def blocks_in(step, *arguments):
    """How many loops over blocks a program has."""
    return str(jax.make_jaxpr(step)(*arguments)).count("scan[")


def by_hand(loss, where=None, weights=None, mean=True, **options):
    """A reduced loss from one value per example, which is never cut."""

    def total(*given):
        values = loss(*given, **options, where=where, weights=weights, reduction="none")
        mass = jnp.sum(jnp.ones(values.shape) if where is None else where.astype(jnp.float32)) if weights is None else None
        if mass is None:
            mass = jnp.sum(weights if where is None else jnp.where(where, weights, 0.0))
        return jnp.sum(values) / (mass if mean else 1)

    return total


CUT = [
    "asymmetric",
    "discretized_gaussian_nll",
    "gaussian_nll",
    "giou",
    "js_divergence",
    "quality_focal",
    "sigmoid_focal",
    "siou",
    "soft_cross_entropy",
    "td_lambda",
    "unified_focal",
    "von_mises_fisher_kl",
    "vtrace",
]


@pytest.mark.slow
@pytest.mark.parametrize("keywords", ["", "where", "weights", "where weights"])
@pytest.mark.parametrize("name", CUT)
def test_blocks_are_the_whole(name, keywords, cut):
    """Value and gradients in all inputs and in the weights; with a NaN, which is masked if there is a mask."""
    loss, given = getattr(jloss, name), [jnp.asarray(a) for a in inputs_of_size(name, cut).values()]
    rng, examples = np.random.default_rng(0), len(given[0])
    where = jnp.asarray(rng.uniform(size=examples) < 0.8).at[7].set(False) if "where" in keywords else None
    weights = jnp.asarray(rng.uniform(size=examples), jnp.float32).at[9].set(0.0) if "weights" in keywords else None
    given[0] = given[0].at[7].set(jnp.nan) if where is not None else given[0]
    wanted = tuple(range(len(given)))

    def ours(weights, *given):
        return loss(*given, where=where, weights=weights)

    def theirs(weights, *given):
        return by_hand(loss, where, weights)(*given)

    wanted = (0, *(1 + i for i in wanted)) if weights is not None else tuple(1 + i for i in wanted)
    step = jax.value_and_grad(ours, wanted)
    assert blocks_in(step, weights, *given) >= 1
    value, gradients = jax.jit(step)(weights, *given)
    expected, slopes = jax.jit(jax.value_and_grad(theirs, wanted))(weights, *given)
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    for got, want in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6 * np.abs(want).max())


@pytest.mark.slow
@pytest.mark.parametrize("reduction", ["sum", "parts"])
def test_blocks_of_other_reductions(reduction, cut):
    given = [jnp.asarray(a) for a in inputs_of_size("siou", cut).values()]
    where = jnp.arange(len(given[0])) % 3 > 0
    found = jax.jit(lambda *a: jloss.siou(*a, where=where, reduction=reduction))(*given)
    total, mass = found if reduction == "parts" else (found, where.sum())
    np.testing.assert_allclose(total, by_hand(jloss.siou, where, mean=False)(*given), rtol=2e-6)
    assert int(mass) == int(where.sum())


@pytest.mark.slow
def test_nothing_kept_in_blocks_is_zero(cut):
    given = [jnp.asarray(a) for a in inputs_of_size("sigmoid_focal", cut).values()]
    for keywords in ({"where": jnp.zeros(len(given[0]), bool)}, {"weights": jnp.zeros(len(given[0]))}):
        value, gradient = jax.jit(jax.value_and_grad(lambda *a, k=keywords: jloss.sigmoid_focal(*a, **k)))(*given)
        assert value == 0
        assert not gradient.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sigmoid_focal", "siou"])
def test_every_transformation_of_blocks(name, cut):
    """Forward mode, second derivatives both ways, vmap, a derivative kept for later, half precision, an option with a gradient."""
    loss, (first, second) = getattr(jloss, name), [jnp.asarray(a) for a in inputs_of_size(name, cut).values()]
    along, theirs = jnp.cos(jnp.arange(first.size, dtype=first.dtype)).reshape(first.shape), by_hand(loss)
    option = {"sigmoid_focal": "gamma", "siou": "theta"}[name]
    slope = jax.jit(jax.grad(theirs))(first, second)
    value, forward = jax.jit(lambda first, along: jax.jvp(lambda a: loss(a, second), (first,), (along,)))(first, along)
    np.testing.assert_allclose(value, theirs(first, second), rtol=2e-6)
    np.testing.assert_allclose(forward, jnp.vdot(slope, along), rtol=1e-4)
    bent = [jax.jit(lambda a, f=f: jax.jvp(jax.grad(lambda a: f(a, second)), (a,), (along,))[1])(first) for f in (loss, theirs)]
    again = jax.jit(jax.grad(lambda a: jnp.vdot(jax.grad(lambda a: loss(a, second))(a), along)))(first)
    for got in (bent[0], again):
        np.testing.assert_allclose(got, bent[1], rtol=1e-4, atol=1e-5 * np.abs(bent[1]).max())
    twice = jax.jit(jax.vmap(jax.value_and_grad(loss)))(jnp.stack([first, first]), jnp.stack([second, second]))
    np.testing.assert_allclose(twice[0], theirs(first, second), rtol=2e-6)
    np.testing.assert_allclose(twice[1][1], slope, rtol=2e-5, atol=2e-6 * np.abs(slope).max())
    half = jax.jit(jax.grad(loss))(first.astype(jnp.bfloat16), second)
    assert half.dtype == jnp.bfloat16
    wide = jax.jit(jax.grad(theirs))(first.astype(jnp.bfloat16), second)
    np.testing.assert_allclose(half.astype(jnp.float32), wide.astype(jnp.float32), rtol=1e-2, atol=1e-2 * np.abs(slope).max())

    def of_option(f):
        return jax.jit(jax.value_and_grad(lambda o: f(**{option: o})))(jnp.float32(2.5))

    got = of_option(lambda **o: loss(first, second, **o))
    want = of_option(lambda **o: by_hand(loss, **o)(first, second))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(7001,), (2, 7001), (7001, 2)])
@pytest.mark.parametrize("kind", [jnp.asarray, np.asarray])
def test_blocks_of_an_option_with_a_number_for_each_of_them(shape, kind, cut):
    """Such as a weight of each class, where there are more classes than examples; a NumPy array is one, too."""
    rng = np.random.default_rng(0)
    several = (*(1 for _ in shape[1:]), shape[-1])
    z, t, weight = (jnp.asarray(rng.uniform(size=s), jnp.float32) for s in (shape, shape, several))

    def ours(z, t, weight):
        return jloss.sigmoid_cross_entropy(z, t, positive_weight=weight)

    def theirs(z, t, weight):
        return by_hand(jloss.sigmoid_cross_entropy, positive_weight=weight)(z, t)

    assert blocks_in(jax.value_and_grad(ours, (0, 2)), z, t, weight)
    np.testing.assert_allclose(jax.jit(lambda z, t: ours(z, t, kind(weight)))(z, t), theirs(z, t, weight), rtol=1e-5)
    for got, want in zip(*(jax.jit(jax.grad(f, (0, 2)))(z, t, weight) for f in (ours, theirs)), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-8)


@pytest.mark.slow
def test_what_blocks_share_has_its_gradient_in_float32(cut):
    """A bfloat16 that sums up the gradients of a hundred blocks is a percent off, its last digit is worth 0.4."""
    x, variance = jnp.linspace(-1, 1, 1 << 17), jnp.array(0.37, jnp.bfloat16)
    step = jax.grad(lambda v: jloss.gaussian_nll(x, jnp.zeros_like(x), v))
    assert blocks_in(step, variance)
    assert step(variance) == step(variance.astype(jnp.float32)).astype(jnp.bfloat16)


@pytest.mark.slow
def test_blocks_of_whichever_axis_is_longest(cut):
    """Also behind the classes, and of an array of options along another axis."""
    p, q = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 2, 7001)).astype(np.float32)
    front = [jnp.moveaxis(jnp.asarray(a), -1, 1) for a in (p, q)]
    step = jax.value_and_grad(lambda p, q: jloss.js_divergence(p, q, axis=1))
    assert blocks_in(step, *front)
    value, gradient = jax.jit(step)(*front)
    expected, slope = jax.value_and_grad(by_hand(jloss.js_divergence))(p, q)
    np.testing.assert_allclose(value, expected, rtol=2e-6)
    np.testing.assert_allclose(np.moveaxis(gradient, 1, -1), slope, rtol=2e-5, atol=1e-9)
    alpha = jnp.array([0.2, 0.5, 0.7])
    step = jax.value_and_grad(lambda z, alpha: jloss.sigmoid_focal(z, q, alpha=alpha), (0, 1))
    assert blocks_in(step, p, alpha)
    found = jax.jit(step)(p, alpha)
    wanted = jax.value_and_grad(lambda z, alpha: by_hand(jloss.sigmoid_focal, alpha=alpha)(z, q), (0, 1))(p, alpha)
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-9)


def test_devices_that_share_a_batch_cut_nothing(soon):
    given = [jnp.asarray(a) for a in inputs_of_size("siou", soon + 4).values()]  # a size that was not traced before
    assert not blocks_in(jax.value_and_grad(jloss.siou), *given)


@pytest.mark.slow
def test_blocks_are_for_cpus(cut):
    """A program for a TPU that is made on a CPU has no loop."""
    given = [jnp.asarray(a) for a in inputs_of_size("siou", cut).values()]
    lowered = jax.jit(jax.value_and_grad(jloss.siou)).trace(*given).lower(lowering_platforms=("tpu",))
    assert "stablehlo.while" not in lowered.as_text()
