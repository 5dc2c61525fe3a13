"""Edges of the soft alignments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss._core import backend
from tests.oracles.sequence import warping as oracles


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def hard_dtw(first, second):
    costs = np.array([[np.sum((a - b) ** 2) for b in second] for a in first])
    best = np.full((len(first) + 1, len(second) + 1), np.inf)
    best[0, 0] = 0
    for i in range(len(first)):
        for j in range(len(second)):
            best[i + 1, j + 1] = costs[i, j] + min(best[i, j], best[i, j + 1], best[i + 1, j])
    return best[-1, -1]


@functools.cache
def paths(t, u):
    """The number of alignments of two series: a Delannoy number."""
    return 1 if min(t, u) == 1 else paths(t - 1, u) + paths(t, u - 1) + paths(t - 1, u - 1)


@pytest.mark.slow
@pytest.mark.parametrize(("t", "u"), [(12, 12), (15, 7), (1, 6)])
def test_soft_dtw_tends_to_dtw(rng, t, u):
    first, second = rng.normal(size=(t, 2)).astype(np.float32), rng.normal(size=(u, 2)).astype(np.float32)
    wanted = hard_dtw(first, second)
    run = jax.jit(jax.value_and_grad(lambda x, y, gamma: jloss.soft_dtw(x, y, gamma=gamma), argnums=(0, 1, 2)))
    for gamma in (1e-2, 1e-6, 1e-15):
        value, gradients = run(first, second, jnp.float32(gamma))
        slack = 1e-5 * wanted  # of float32
        assert wanted - gamma * np.log(paths(t, u)) - slack <= value <= wanted + slack  # between all paths as good as the best, and one
        assert all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_allclose(run(first, second, jnp.float32(1))[0], run(second, first, jnp.float32(1))[0], rtol=1e-5)


def test_soft_dtw_at_long_series(rng):
    """Against the plain recursion in float64, beyond what can be enumerated."""
    first, second, gamma = rng.normal(size=(40, 3)), rng.normal(size=(33, 3)), 0.7
    table = np.full((41, 34), np.inf)
    table[0, 0] = 0
    for i in range(40):
        for j in range(33):
            ways = np.array([table[i, j], table[i, j + 1], table[i + 1, j]])
            table[i + 1, j + 1] = np.sum((first[i] - second[j]) ** 2) - gamma * oracles.total(-ways / gamma)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jloss.soft_dtw(first, second, gamma=gamma), table[-1, -1], rtol=1e-12)


@pytest.mark.slow
def test_alignment_is_the_gradient_in_the_costs(rng):
    first, second = rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    with jax.enable_x64(True):
        alignment = np.asarray(jloss.soft_dtw_alignment(first, second, gamma=0.5))
        gradient = jax.grad(lambda x: jloss.soft_dtw(x, second, gamma=0.5))(first)
        np.testing.assert_allclose(gradient, 2 * (alignment.sum(1)[:, None] * first - alignment @ second), rtol=1e-10)
    assert alignment[0, 0] == pytest.approx(1)
    assert alignment[-1, -1] == pytest.approx(1)
    assert (alignment.sum(0) > 1 - 1e-9).all()
    assert (alignment.sum(1) > 1 - 1e-9).all()


@pytest.mark.slow
def test_soft_dtw_reads_at_the_lengths(rng):
    first, second = rng.normal(size=(3, 5, 2)).astype(np.float32), rng.normal(size=(3, 7, 2)).astype(np.float32)
    lengths = np.array([5, 3, 1]), np.array([2, 7, 4])
    poisoned = [np.where((np.arange(x.shape[1]) < n[:, None])[..., None], x, np.nan) for x, n in zip((first, second), lengths, strict=True)]
    for loss in (jloss.soft_dtw, jloss.soft_dtw_divergence):
        values = loss(*poisoned, *lengths, reduction="none")
        gradients = jax.grad(lambda x, loss=loss: loss(x, poisoned[1], *lengths, reduction="sum"))(poisoned[0])
        for i, (t, u) in enumerate(zip(*lengths, strict=True)):
            np.testing.assert_allclose(values[i], loss(first[i, :t], second[i, :u]), rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(gradients[i, t:], 0)
        assert np.isfinite(gradients).all()


@pytest.mark.slow
def test_soft_dtw_of_nothing():
    series = jnp.ones((5, 4, 2))
    lengths = jnp.array([0, 0, 2, 5, -1]), jnp.array([0, 3, 0, 4, 4])
    empty = jnp.zeros(5, int)
    value, gradient = jax.value_and_grad(lambda x: jloss.soft_dtw(x, series, empty, empty))(series)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)
    np.testing.assert_array_equal(jloss.soft_dtw(series, series, *lengths, reduction="none"), [0, np.inf, np.inf, np.nan, np.nan])
    assert jloss.soft_dtw(series[0, :0], series[0]) == np.inf
    assert jloss.soft_dtw(series[0, :0], series[0, :0]) == 0


@pytest.mark.slow
def test_soft_dtw_derivative_in_gamma(rng):
    """Against differences of the loss in float64: the entropy of the alignments, for odd and even numbers of diagonals."""
    with jax.enable_x64(True):
        for t, u in ((6, 5), (7, 7), (4, 7)):
            first, second = rng.normal(size=(t, 2)), rng.normal(size=(u, 2))
            value = [float(jloss.soft_dtw(first, second, gamma=g)) for g in (0.3 - 1e-6, 0.3 + 1e-6)]
            gradient = jax.grad(lambda g, first=first, second=second: jloss.soft_dtw(first, second, gamma=g))(0.3)
            np.testing.assert_allclose(gradient, (value[1] - value[0]) / 2e-6, rtol=1e-6)
            np.testing.assert_allclose(value[0], oracles.dtw(first, second, 0.3), rtol=1e-5)


@pytest.mark.slow
def test_soft_dtw_at_its_limits(rng):
    first, second = rng.normal(size=(5, 2)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
    np.testing.assert_allclose(jloss.soft_dtw(first[:1], second[:1]), np.sum((first[0] - second[0]) ** 2), rtol=1e-6)
    np.testing.assert_allclose(jloss.soft_dtw(first[:1], second), np.sum((first[:1] - second) ** 2), rtol=1e-6)
    paths = len(oracles.path_costs(np.zeros((5, 3))))
    np.testing.assert_allclose(jloss.soft_dtw(first[:, :0], second[:, :0]), -np.log(paths), rtol=1e-6)  # no features
    for scale, gamma in ((1e9, 1.0), (1e9, 1e-15), (1e-9, 1e6)):
        inputs = scale * first, scale * second, jnp.float32(gamma)
        value, gradients = jax.value_and_grad(lambda x, y, g: jloss.soft_dtw(x, y, gamma=g), argnums=(0, 1, 2))(*inputs)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)
    half = jnp.asarray(first, jnp.bfloat16)
    np.testing.assert_allclose(jloss.soft_dtw(half, second), jloss.soft_dtw(half.astype(jnp.float32), second), rtol=1e-6)


@pytest.mark.slow
def test_soft_dtw_keeps_each_diagonal_once():
    """One float for each cell of the slanted table and for its state, and no (t, u, d) array, however many features."""
    series = jax.ShapeDtypeStruct((4, 64, 32), np.float32)
    compiled = jax.jit(jax.value_and_grad(lambda x, y: jloss.soft_dtw(x, y), argnums=(0, 1))).lower(series, series).compile()
    table = 4 * 127 * 64 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < 5 * table


@pytest.fixture
def in_blocks(monkeypatch):
    """Batches of a few examples are computed one example at a time."""
    monkeypatch.setattr(backend, "BLOCK_OF_PAIRS", 1)
    monkeypatch.setattr(backend, "on_one_cpu", lambda: True)


@pytest.mark.slow
@pytest.mark.usefixtures("in_blocks")
@pytest.mark.parametrize("loss", [jloss.soft_dtw, jloss.soft_dtw_divergence])
def test_blocks_of_examples_are_the_batch(rng, loss):
    """Against all examples at once: lengths of 0 and 1, ties, a NaN under a mask, a weight of 0, a gamma near 0, every derivative."""
    first = jnp.asarray(np.round(rng.normal(size=(6, 5, 2)), 1), jnp.float32)
    second = jnp.asarray(np.round(rng.normal(size=(6, 7, 2)), 1), jnp.float32).at[1].set(first[1, :1])
    ends = jnp.array([5, 5, 1, 3, 0, 4]), jnp.array([7, 7, 4, 1, 0, 2])
    where, weights = jnp.array([1, 1, 1, 1, 1, 0], bool), jnp.array([1.0, 2.0, 0.5, 0.0, 1.0, 3.0])
    poisoned = first.at[5].set(jnp.nan)

    def blocks(first, second, weights, gamma):
        return loss(first, second, *ends, gamma=gamma, where=where, weights=weights)

    def at_once(first, second, weights, gamma):
        kept = jnp.where(where[:, None, None], first, 0.0)
        values = loss(kept, second, *ends, gamma=gamma, reduction="none")
        return jnp.sum(jnp.where(where, values * weights, 0.0)) / jnp.sum(jnp.where(where, weights, 0.0))

    assert "length=6" in str(jax.make_jaxpr(blocks)(first, second, weights, 1.0))  # of the loop over the examples
    for gamma in (1.0, 1e-3, 1e-15):
        given = poisoned, second, weights, jnp.float32(gamma)
        got, want = (jax.jit(jax.value_and_grad(f, (0, 1, 2, 3)))(*given) for f in (blocks, at_once))
        for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    along = jnp.cos(jnp.arange(first.size, dtype=jnp.float32)).reshape(first.shape)
    bent = [
        jax.jit(lambda x, f=f: jax.jvp(jax.grad(lambda x: f(x, second, weights, 1.0)), (x,), (along,))[1])(first) for f in (blocks, at_once)
    ]
    np.testing.assert_allclose(*bent, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_large_batch_holds_the_tables_of_one_example(monkeypatch):
    """What one example of 512 x 512 needs, not 16 times as much: the cells of its slanted table, and what the gradient keeps of each."""
    monkeypatch.setattr(backend, "on_one_cpu", lambda: True)
    series = jax.ShapeDtypeStruct((16, 512, 2), np.float32)
    table = 1023 * 512 * 4
    for loss, tables in ((jloss.soft_dtw, 8), (jloss.soft_dtw_divergence, 20)):
        compiled = jax.jit(jax.value_and_grad(lambda x, y, loss=loss: loss(x, y), argnums=(0, 1))).lower(series, series).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < tables * table


@pytest.mark.slow
def test_divergence_is_least_at_a_match(rng):
    first = rng.normal(size=(6, 9, 2)).astype(np.float32)
    value, gradient = jax.value_and_grad(lambda x: jloss.soft_dtw_divergence(x, first, reduction="sum"))(first)
    assert abs(value) < 1e-4
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    assert (jloss.soft_dtw_divergence(first, first + 0.1, reduction="none") > 0).all()
    assert (jloss.soft_dtw(first, first, reduction="none") < 0).all()


@pytest.mark.slow
def test_smith_waterman_is_local(rng):
    inner = 4 * np.eye(3, dtype=np.float32) - 2
    outer = np.full((7, 8), -9.0, np.float32)
    outer[2:5, 4:7] = inner
    np.testing.assert_allclose(jloss.smith_waterman(outer, temperature=0.1), jloss.smith_waterman(inner, temperature=0.1), rtol=1e-5)
    matched = -jax.grad(lambda x: jloss.smith_waterman(x, temperature=0.1))(outer)
    wanted = np.zeros((7, 8))
    wanted[[2, 3, 4], [4, 5, 6]] = 1
    np.testing.assert_allclose(matched, wanted, atol=1e-5)
    assert jloss.smith_waterman(np.full((3, 3), -1e4, np.float32)) == 0
    assert jloss.smith_waterman(np.zeros((0, 3), np.float32)) == 0


def test_smith_waterman_gaps():
    """Five matches in a row and a gap of two, dearer by opening than by extending."""
    similarities = np.full((5, 7), -50.0, np.float32)
    similarities[[0, 1, 2, 3, 4], [0, 1, 4, 5, 6]] = 5
    for gap_open, gap_extend in ((3.0, 1.0), (2.0, 2.0), (0.5, 0.0)):
        value = jloss.smith_waterman(similarities, gap_open=gap_open, gap_extend=gap_extend, temperature=0.01)
        np.testing.assert_allclose(value, -(25 - gap_open - gap_extend), rtol=1e-4)


@pytest.mark.slow
def test_smith_waterman_beyond_the_lengths_and_forbidden(rng):
    scores = rng.normal(size=(5, 6)).astype(np.float32)
    padded = np.full((7, 7), np.nan, np.float32)
    padded[:5, :6] = scores
    run = jax.value_and_grad(lambda x, tau: jloss.smith_waterman(x, 5, 6, temperature=tau), argnums=(0, 1))
    value, gradients = run(padded, 0.5)
    np.testing.assert_allclose(value, jloss.smith_waterman(scores, temperature=0.5), rtol=1e-6)
    assert all(np.isfinite(g).all() for g in gradients)
    scores[2, 3] = -np.inf
    value, gradients = jax.value_and_grad(lambda x, tau: jloss.smith_waterman(x, temperature=tau), argnums=(0, 1))(scores, 0.5)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)
    assert gradients[0][2, 3] == 0
    np.testing.assert_array_equal(jloss.smith_waterman(np.zeros((2, 3, 3)), np.array([4, -1]), reduction="none"), np.nan)
