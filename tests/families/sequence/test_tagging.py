"""Edges of the conditional random field, its marginals and its decoder."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from tests.oracles.sequence import tagging as oracles


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return {n: v.astype(np.float32) if v.dtype == np.float64 else v for n, v in oracles.draw_crf(rng, (5,)).items()}


def posterior(one):
    """Of one example, by enumeration: all sequences, their scores, their probabilities."""
    t = int(one["length"])
    every = oracles.sequences(t, one["emissions"].shape[1])
    scores = oracles.scores(every, one["emissions"][:t].astype(float), one["transitions"], one["start"], one["stop"])
    return every, scores, np.exp(scores - oracles.total(scores))


@pytest.mark.slow
def test_marginals_and_decoding_by_enumeration(inputs):
    tags = inputs.pop("tags")
    marginals = np.asarray(jloss.crf_marginals(**inputs))
    decoded = jax.tree.map(np.asarray, jloss.crf_decode(**inputs))
    for i in range(5):
        every, scores, weights = posterior({n: v[i] for n, v in inputs.items()})
        t = every.shape[1]
        wanted = np.stack([weights @ (every == c) for c in range(3)], axis=-1)
        np.testing.assert_allclose(marginals[i, :t], wanted, atol=1e-6)
        np.testing.assert_array_equal(marginals[i, t:], 0)
        np.testing.assert_array_equal(decoded.tags[i], [*every[scores.argmax()], *[-1] * (4 - t)])
        np.testing.assert_allclose(decoded.score[i], scores.max(), rtol=1e-5)
    emissions = inputs.pop("emissions")
    gradient = jax.grad(lambda x: jloss.crf(x, tags, **inputs, reduction="sum"))(emissions)
    observed = np.eye(3)[tags] * (np.arange(4) < inputs["length"][:, None])[..., None]
    np.testing.assert_allclose(gradient, marginals - observed, atol=1e-6)


@pytest.mark.slow
def test_parameters_are_shared_by_the_batch(inputs):
    shared = {n: inputs[n][0] for n in ("transitions", "start", "stop")}
    rows = {n: np.broadcast_to(v, (5, *v.shape)) for n, v in shared.items()}
    given = {n: inputs[n] for n in ("emissions", "tags", "length")}
    gradient, per_example = (jax.grad(lambda p: jloss.crf(**given, **p, reduction="sum"))(p) for p in (shared, rows))
    for n, g in gradient.items():
        np.testing.assert_allclose(g, np.sum(per_example[n], axis=0), atol=1e-5)
    assert jloss.crf_decode(given["emissions"], shared["transitions"]).tags.shape == (5, 4)


def test_padding_has_no_influence(inputs):
    poisoned = dict(inputs)
    beyond = np.arange(4) >= inputs["length"][:, None]
    poisoned["emissions"] = np.where(beyond[..., None], np.nan, inputs["emissions"])
    for tag in (-100, 99):
        poisoned["tags"] = np.where(beyond, tag, inputs["tags"])
        run = jax.value_and_grad(lambda x, given: jloss.crf(**{**given, "emissions": x}))
        (value, gradient), (want, wanted) = (run(given["emissions"], given) for given in (poisoned, inputs))
        np.testing.assert_allclose(value, want, rtol=1e-6)
        np.testing.assert_allclose(gradient, wanted, atol=1e-6)


@pytest.mark.slow
def test_forbidden_pairs(inputs):
    transitions = np.zeros((3, 3), np.float32)
    transitions[0, 1] = -np.inf
    emissions = inputs["emissions"][0]
    run = jax.value_and_grad(lambda x, t, tags: jloss.crf(x, tags, t), argnums=(0, 1))
    value, gradients = run(emissions, transitions, jnp.array([0, 1, 2, 2]))
    assert value == np.inf
    assert all((g == 0).all() for g in gradients)
    value, gradients = run(emissions, transitions, jnp.array([0, 2, 1, 1]))
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)
    assert gradients[1][0, 1] == 0
    assert (np.asarray(jloss.crf_decode(10 * np.eye(3, dtype=np.float32)[[0, 1, 1]], transitions).tags) != [0, 1, 1]).any()
    nothing, gradients = run(emissions, jnp.full((3, 3), -jnp.inf), jnp.array([0, 2, 1, 1]))
    assert nothing == np.inf
    assert all((g == 0).all() for g in gradients)


@pytest.mark.slow
def test_lengths_and_tags_out_of_range():
    emissions, transitions = jnp.zeros((4, 3, 2)), jnp.zeros((2, 2))
    values = jloss.crf(emissions, jnp.array([[0, 1, 0]] * 3 + [[0, 1, 2]]), transitions, length=jnp.array([0, 4, -1, 3]), reduction="none")
    np.testing.assert_array_equal(values, [0, np.nan, np.nan, np.nan])
    lengths = jnp.array([0, 4, -1, 3])
    marginals = jloss.crf_marginals(emissions, transitions, length=lengths)
    assert np.isnan(marginals).all((1, 2)).tolist() == [False, True, True, False]
    assert not np.isnan(marginals[jnp.array([0, 3])]).any()
    decoded = jloss.crf_decode(emissions, transitions, length=lengths)
    np.testing.assert_array_equal(decoded.score, [0, np.nan, np.nan, 0])
    np.testing.assert_array_equal(decoded.tags, [[-1] * 3] * 3 + [[0] * 3])
    assert jloss.crf(jnp.zeros((0, 2)), jnp.zeros(0, int), transitions) == 0
    np.testing.assert_allclose(
        jloss.crf(jnp.zeros((1, 2)), jnp.array([1]), transitions, jnp.array([0.0, jnp.log(3.0)])), np.log(4 / 3), rtol=1e-6
    )


def test_emissions_of_minus_infinity_and_large_ones(inputs):
    """A tag ruled out at a step; all ruled out; scores of 1e4; half precision."""
    emissions, transitions, tags = inputs["emissions"][0].copy(), inputs["transitions"][0], jnp.array([0, 1, 2, 1])
    run = jax.value_and_grad(lambda x, t: jloss.crf(x, tags, t), argnums=(0, 1))
    emissions[1, 0] = -np.inf
    value, gradients = run(emissions, transitions)
    fewer = oracles.sequences(4, 3)
    fewer = fewer[fewer[:, 1] != 0]
    scores = [oracles.scores(s, emissions.astype(float), transitions, None, None) for s in (fewer, np.array([tags]))]
    np.testing.assert_allclose(value, oracles.total(scores[0]) - scores[1][0], rtol=1e-6)
    assert gradients[0][1, 0] == 0
    assert all(np.isfinite(g).all() for g in gradients)
    emissions[1] = -np.inf
    value, gradients = run(emissions, transitions)
    assert value == np.inf
    assert all((g == 0).all() for g in gradients)
    assert (jloss.crf_marginals(emissions, transitions) == 0).all()
    value, gradients = run(1e4 * inputs["emissions"][1], transitions)
    assert np.isfinite(value)
    assert np.abs(gradients[0]).max() <= 1
    half = jnp.asarray(inputs["emissions"][0], jnp.bfloat16)
    np.testing.assert_allclose(jloss.crf(half, tags, transitions), jloss.crf(half.astype(jnp.float32), tags, transitions), rtol=1e-6)
