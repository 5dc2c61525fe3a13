"""Sorting by packed integers (CPUs) and by `lax.sort` (elsewhere), against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss._core import backend, sorting

RNG = np.random.default_rng(0)
AWKWARD = np.array([3.0, -1.0, 0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-30, -1e-30, 3.0, -1.0, 2.5, 1e38], np.float32)
KEYS = [
    AWKWARD,
    RNG.integers(-3, 4, 50).astype(np.float32),
    RNG.normal(size=(7, 3000)).astype(np.float32),
]


@pytest.fixture(params=["packed", "carried"])
def way(request, monkeypatch):
    """As on a CPU, and as elsewhere."""
    if request.param == "carried":
        monkeypatch.setattr(sorting.lax, "platform_dependent", lambda *inputs, default, **_: default(*inputs))


@pytest.mark.parametrize("keys", KEYS, ids=["awkward", "ties", "large"])
def test_order_and_its_inverse(keys, way):
    """A stable order, zeros of either sign alike, NaN of either sign last."""
    order = np.asarray(jax.jit(lambda x: sorting.order_of(x))(keys))
    np.testing.assert_array_equal(order, np.argsort(keys, axis=-1, kind="stable"))
    ranks = np.asarray(jax.jit(lambda x: sorting.inverse_of(x))(order))
    np.testing.assert_array_equal(np.take_along_axis(ranks, order, -1), np.broadcast_to(np.arange(keys.shape[-1]), keys.shape))


@pytest.mark.parametrize("keys", KEYS, ids=["awkward", "ties", "large"])
def test_by_rank(keys, way):
    """The number of flags up to each key; of equal keys those without a flag come first."""
    flags = RNG.uniform(size=keys.shape) < 0.4
    got = np.asarray(jax.jit(lambda k, f: sorting.by_rank(lambda f: jnp.cumsum(f, axis=-1, dtype=jnp.int32), k, f))(keys, flags))
    for key, flag, counts in zip(np.atleast_2d(keys), np.atleast_2d(flags), np.atleast_2d(got), strict=True):
        order = np.lexsort((flag, key))
        np.testing.assert_array_equal(counts[order], np.cumsum(flag[order]))


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(5, 60000), (3001, 100)], ids=["few long", "many short"])
@pytest.mark.parametrize("mapped", [False, True])
def test_many_rows_are_sorted_in_parts(monkeypatch, shape, mapped):
    """On one CPU, as one array and mapped over: every part in its place."""
    monkeypatch.setattr(sorting, "on_one_cpu", lambda: True)
    keys = RNG.integers(0, 1000, shape).astype(np.float32)
    flags = RNG.uniform(size=shape) < 0.4

    def ranked(keys, flags):
        counts = sorting.by_rank(lambda f: jnp.cumsum(f, axis=-1, dtype=jnp.int32), keys, flags)
        return sorting.order_of(keys), sorting.ascending(keys), counts

    program = jax.jit(jax.vmap(ranked) if mapped else ranked).lower(keys, flags)
    parts = min(sorting.PARTS, len(keys)) if jax.__version_info__ < (0, 12) else 1
    assert program.as_text().count("stablehlo.sort") == 3 * parts
    order, ascending, counts = program.compile()(keys, flags)
    np.testing.assert_array_equal(order, np.argsort(keys, axis=-1, kind="stable"))
    np.testing.assert_array_equal(ascending, np.sort(keys, axis=-1))
    for row in (0, 1, len(keys) // 2, -2, -1):
        first = np.lexsort((flags[row], keys[row]))
        np.testing.assert_array_equal(np.asarray(counts)[row][first], np.cumsum(flags[row][first]))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 23, 24, 25, 100, 128])
@pytest.mark.parametrize("mapped", [False, True])
def test_sum_over_others(size, mapped):
    """Of each with each exactly once, with no array of all pairs."""
    each, others = RNG.integers(-5, 6, (2, 5, size)).astype(np.float32)

    def below(x, y):
        return sorting.sum_over_others(lambda x, y: (y < x).astype(jnp.int32), [x], [y])

    rows = (each, others) if mapped else (each[0], others[0])
    program = jax.jit(jax.vmap(below) if mapped else below).lower(*rows)
    assert f"{size}x{size}x" not in program.as_text()
    table = rows[1][..., None, :] < rows[0][..., :, None]
    np.testing.assert_array_equal(program.compile()(*rows), table.sum(-1))


def awkward_rows(size):
    """Random, tied, equal, all but one absent, far apart, with NaN, with an infinity."""
    rows = RNG.normal(size=(backend.REORDER_FROM // size + 9, size)).astype(np.float32)
    rows[1:4] = np.round(rows[1:4])
    rows[4], rows[5, 1:], rows[6] = 0.25, -np.inf, 1e4 * rows[6]
    rows[7, :: size // 2 + 1], rows[8, -1] = np.nan, np.inf
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 5, 24, 57, 128, 129])
@pytest.mark.parametrize("name", ["multilabel_margin", "sparsemax", "entmax15"])
def test_short_rows_are_compared(monkeypatch, name, size):
    """Values and gradients are those of sorted rows."""
    loss, scores = getattr(jloss, name), awkward_rows(size)
    labels = RNG.integers(0, size, len(scores))
    targets = RNG.uniform(size=scores.shape) < 0.3 if name == "multilabel_margin" else labels

    def both(scores, targets):
        value, slope = jax.vjp(lambda s: loss(s, targets, reduction="none"), scores)
        return value, slope(jnp.ones_like(value))[0]

    found = jax.jit(both).lower(scores, targets)
    assert ("stablehlo.sort" in found.as_text()) == (size > sorting.SHORT)
    monkeypatch.setattr(sorting, "SHORT", 0)
    jax.clear_caches()
    expected = jax.jit(both).lower(scores, targets)
    assert "stablehlo.sort" in expected.as_text()
    (values, slopes), (right, right_slopes) = (program.compile()(scores, targets) for program in (found, expected))
    assert np.isnan(values[7])
    rtol = 0 if name == "multilabel_margin" else 1e-6
    np.testing.assert_allclose(values, right, rtol=rtol)
    np.testing.assert_allclose(np.delete(slopes, 7, 0), np.delete(right_slopes, 7, 0), rtol=rtol, atol=rtol)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 40, 128])
def test_compared_against_the_definition(size):
    scores = np.delete(awkward_rows(size), [5, 7, 8], 0)
    holds = RNG.uniform(size=scores.shape) < 0.4
    pairs = np.maximum(0, 1 + scores[:, None, :].astype(float) - scores[:, :, None]) * (holds[:, :, None] & ~holds[:, None, :])
    np.testing.assert_allclose(jloss.multilabel_margin(scores, holds, reduction="none"), pairs.sum((1, 2)) / size, rtol=2e-5, atol=1e-5)
    for loss, power in ((jloss.sparsemax, 1), (jloss.entmax15, 2)):
        slopes = np.asarray(jax.grad(lambda z, loss=loss: loss(z, jnp.zeros(len(z), int), reduction="sum"))(scores), float)
        slopes[:, 0] += 1
        low, high = scores.max(1) / power - 1.0, scores.max(1) / power + 0.0  # bisection of the threshold, in float64
        for _ in range(60):
            middle = (low + high) / 2
            mass = np.maximum(scores / power - middle[:, None], 0) ** power
            low, high = np.where(mass.sum(1) > 1, middle, low), np.where(mass.sum(1) > 1, high, middle)
        np.testing.assert_allclose(slopes, np.maximum(scores / power - low[:, None], 0) ** power, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [0, 1])
def test_a_shared_argument_in_parts(monkeypatch, shared):
    monkeypatch.setattr(sorting, "on_one_cpu", lambda: True)
    monkeypatch.setattr(sorting, "LARGER", 1)
    keys, flags = RNG.integers(0, 9, (20, 30)).astype(np.float32), RNG.uniform(size=(20, 30)) < 0.4
    given = (keys[0] if shared == 0 else keys, flags[0] if shared == 1 else flags)

    def counts(keys, flags):
        return sorting.by_rank(lambda f: jnp.cumsum(f, dtype=jnp.int32), keys, flags)

    got = jax.vmap(counts, in_axes=(None, 0) if shared == 0 else (0, None))(*given)
    expected = [counts(*pair) for pair in zip(*np.broadcast_arrays(*given), strict=True)]
    np.testing.assert_array_equal(got, expected)


def test_float64_keys():
    with jax.enable_x64(True):
        keys = jnp.asarray([1.0, 1.0 + 1e-12, 1.0 - 1e-12])
        np.testing.assert_array_equal(sorting.order_of(keys), [2, 0, 1])
        np.testing.assert_array_equal(sorting.ascending(keys), np.sort(np.asarray(keys)))


def test_ascending():
    x = np.abs(AWKWARD)
    np.testing.assert_array_equal(sorting.ascending(jnp.asarray(x)), np.sort(x))


@pytest.mark.parametrize("holds", [True, False])
def test_a_nan_score_is_not_lost(holds):
    """Whatever its rank, also where no other class comes too close."""
    scores = jnp.array([jnp.nan, 5.0, 0.0, -5.0])
    assert jnp.isnan(jloss.multilabel_margin(scores, jnp.array([holds, True, False, False])))


@pytest.mark.parametrize("labels", [[1, 0, 1, 0], [1, 0, 0, 2]], ids=["positive", "negative"])
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf], ids=["nan", "inf"])
@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("loss", [jloss.batch_all_triplet, jloss.batch_semi_hard_triplet, jloss.batch_hard_triplet])
def test_a_nan_embedding_is_not_lost(loss, labels, place, value):
    """As a positive of others, and as a negative that is an anchor of no triplet; but one that is masked is."""
    embeddings, labels = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array(labels)
    assert jnp.isnan(loss(embeddings.at[place].set(value), labels))
    mask = jnp.arange(4) != place
    assert loss(embeddings.at[place].set(value), labels, mask) == loss(embeddings, labels, mask)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("loss", [jloss.batch_all_triplet, jloss.batch_semi_hard_triplet], ids=["all", "semi_hard"])
def test_a_distance_that_overflows_is_not_lost(loss, squared):
    """The fourth item is a positive, 1e25 from the others: the square is infinite, and rounding could tell it from nothing."""
    assert not jnp.isfinite(loss(jnp.array([[0.0], [2.0], [1.0], [1e25]]), jnp.array([0, 1, 0, 1]), squared=squared))
