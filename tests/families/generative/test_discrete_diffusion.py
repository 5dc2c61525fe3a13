"""Tokens: what counts and what does not, ratios at their true values, small and large noise."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

inf, nan = jnp.inf, jnp.nan
RNG = np.random.default_rng(6)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# ---------------------------------------------------------------- masks


@pytest.mark.slow
def test_what_is_clear_or_padding_may_hold_anything():
    logits, labels = normal(6, 5), jnp.array([0, 4, 2, 1, 3, 2])
    masked, mask = jnp.array([1, 0, 1, 0, 1, 1], bool), jnp.array([1, 1, 1, 1, 0, 0], bool)
    counts = masked & mask
    holes = jnp.where(counts[:, None], logits, nan)

    value, slopes = jax.value_and_grad(jloss.masked_diffusion, (0, 3))(holes, jnp.where(counts, labels, -100), masked, 2.5, mask)
    surprises = -jax.nn.log_softmax(logits)[jnp.arange(6), labels]
    total = float(surprises[0] + surprises[2])
    np.testing.assert_allclose(value, 2.5 * total / 4, rtol=1e-6)
    np.testing.assert_allclose(slopes[1], total / 4, rtol=1e-6)
    assert np.isfinite(slopes[0]).all()
    assert not slopes[0][~counts].any()


@pytest.mark.slow
def test_nothing_hidden_and_nothing_valid():
    logits, none, every = normal(3, 4), jnp.zeros(3, bool), jnp.ones(3, bool)
    for masked, mask, rate in ((none, None, 1.0), (none, None, inf), (every, none, 1.0)):
        value, slope = jax.value_and_grad(jloss.masked_diffusion)(logits, jnp.zeros(3, int), masked, rate, mask)
        assert value == 0
        assert not slope.any()


def test_a_wrong_label_shows_where_it_counts():
    for labels, wanted in (([0, 9], True), ([9, 0], False)):
        value = jloss.masked_diffusion(normal(2, 4), jnp.array(labels), jnp.array([False, True]), 1.0)
        assert np.isnan(value) == wanted


def test_the_mask_tokens_logit_left_out_or_infinite():
    logits, labels, masked = normal(3, 4), jnp.array([0, 3, 1]), jnp.array([True, True, False])
    absent = jnp.concatenate([logits, jnp.full((3, 1), -inf)], axis=1)
    got, wanted = (jax.value_and_grad(jloss.masked_diffusion)(z, labels, masked, 0.7) for z in (absent, logits))
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(got[1][:, :4], wanted[1], rtol=1e-5)


@pytest.mark.slow
def test_through_a_linear_head():
    hidden, kernel = normal(4, 6, 3), normal(10, 3)
    labels, masked = jnp.asarray(RNG.integers(0, 10, (4, 6))), jnp.asarray(RNG.uniform(size=(4, 6)) < 0.5)
    mask, rate = jnp.asarray(np.arange(6) < np.array([6, 4, 5, 1])[:, None]), jnp.array([1.0, 2.0, 5.0, 1.5])

    def headed(hidden, kernel, rate):
        return jloss.linear_head(jloss.masked_diffusion, chunk_size=1)(hidden, kernel, labels, masked, rate, mask)

    def whole(hidden, kernel, rate):
        return jloss.masked_diffusion(hidden @ kernel.T, labels, masked, rate, mask)

    got, wanted = (jax.jit(jax.value_and_grad(f, (0, 1, 2)))(hidden, kernel, rate) for f in (headed, whole))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), got, wanted)


# ---------------------------------------------------------------- ratios


def transition(k, sigma, label, graph):
    """A row of exp(sigma Q)."""
    stay = math.exp(-sigma)
    if graph == "uniform":
        row = np.full(k, (1 - stay) / k)
        row[label] += stay
    else:
        row = np.zeros(k)
        row[label], row[k - 1] = stay, 1 - stay
    return row


@pytest.mark.parametrize("graph", ["absorbing", "uniform"])
@pytest.mark.parametrize("sigma", [1e-3, 0.4, 5.0])
def test_it_is_zero_at_the_true_ratios(graph, sigma):
    k, label = 5, 1
    for noisy in [k - 1] if graph == "absorbing" else [1, 3]:
        row = transition(k, sigma, label, graph)
        with np.errstate(divide="ignore"):
            scores = np.log(row / row[noisy]).astype(np.float32)
        value, slope = jax.value_and_grad(jloss.score_entropy)(jnp.asarray(scores), label, noisy, sigma, graph=graph)
        np.testing.assert_allclose(value, 0.0, atol=1e-4)
        assert np.isfinite(slope).all()
        np.testing.assert_allclose(slope, 0.0, atol=1e-2 if sigma < 0.01 else 1e-4)


@pytest.mark.parametrize("graph", ["absorbing", "uniform"])
def test_it_is_the_sum_over_ratios(graph):
    """K (exp s - c s + c (log c - 1)) with c from the transition matrix."""
    k, label, sigma, scores = 5, 1, 0.7, normal(5)
    for noisy in [k - 1] if graph == "absorbing" else [1, 3]:
        c = transition(k, sigma, label, graph) / transition(k, sigma, label, graph)[noisy]
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.exp(scores) - c * np.asarray(scores) + np.where(c > 0, c * (np.log(c) - 1), 0.0)
        wanted = (terms.sum() - terms[noisy]) / (k if graph == "uniform" else 1)
        np.testing.assert_allclose(jloss.score_entropy(scores, label, noisy, sigma, graph=graph), wanted, rtol=1e-5)


@pytest.mark.slow
def test_the_score_of_the_token_itself_is_not_looked_at():
    for graph, noisy in (("absorbing", 2), ("uniform", 0)):
        scores = jnp.zeros(3).at[noisy].set(nan)
        value, slope = jax.value_and_grad(jloss.score_entropy)(scores, 1, noisy, 0.5, graph=graph)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_a_token_that_is_not_masked_costs_nothing():
    value, slope = jax.value_and_grad(jloss.score_entropy)(jnp.full(4, nan), 9, 1, 0.5)
    assert value == 0
    assert not slope.any()


@pytest.mark.parametrize("graph", ["absorbing", "uniform"])
def test_tokens_out_of_range(graph):
    for label, noisy in ((-1, 3), (4, 3), (0, 4), (0, -1)) + (((3, 3),) if graph == "absorbing" else ()):
        assert np.isnan(jloss.score_entropy(jnp.zeros(4), label, noisy, 0.5, graph=graph)), (label, noisy)


@pytest.mark.parametrize("graph", ["absorbing", "uniform"])
@pytest.mark.parametrize("sigma", [1e-30, 1e-6, 1e4, inf])
def test_very_little_and_very_much_noise(graph, sigma):
    for noisy in [3] if graph == "absorbing" else [0, 3]:
        value, slopes = jax.value_and_grad(jloss.score_entropy, (0, 3))(jnp.zeros(4), 0, noisy, sigma, graph=graph)
        assert not np.isnan(value)
        assert not any(np.isnan(s).any() for s in slopes)
        if sigma >= 1e4:
            np.testing.assert_allclose(value, 3.0 if graph == "absorbing" else 0.0, atol=1e-6)


# ---------------------------------------------------------------- flows


@pytest.mark.slow
def test_a_sure_model_costs_nothing_where_it_is_right():
    sure = jnp.array([100.0, 0.0, 0.0])
    for noisy in (0, 1):
        value, slope = jax.value_and_grad(jloss.discrete_flow_matching)(sure, 0, noisy, 3.0)
        assert value == 0
        assert not slope.any()
    assert jloss.discrete_flow_matching(jnp.array([-inf, 0.0]), 0, 1, 0.0) == 0
    assert jloss.discrete_flow_matching(jnp.array([-inf, 0.0]), 0, 1, 1.0) == inf


@pytest.mark.slow
def test_the_generalised_divergence():
    logits = normal(4)
    p = np.asarray(jax.nn.softmax(logits))
    np.testing.assert_allclose(jloss.discrete_flow_matching(logits, 2, 2, 1.5), 1.5 * (1 - p[2]), rtol=1e-5)
    np.testing.assert_allclose(jloss.discrete_flow_matching(logits, 2, 0, 1.5), -1.5 * (p[0] + np.log(p[2])), rtol=1e-5)
    for label, noisy in ((4, 0), (0, -1)):
        assert np.isnan(jloss.discrete_flow_matching(logits, label, noisy, 1.0))
    images = jnp.moveaxis(normal(2, 3, 4), -1, 1)
    tokens = jnp.zeros((2, 3), int)
    got = jloss.discrete_flow_matching(images, tokens, tokens + 1, jnp.ones((2, 3)), axis=1)
    np.testing.assert_allclose(
        got, jloss.discrete_flow_matching(jnp.moveaxis(images, 1, -1), tokens, tokens + 1, jnp.ones((2, 3))), rtol=1e-6
    )


def test_an_improbable_token_in_its_place_has_a_gradient():
    """That of 1 - p, of a p of 1.5e-8, which 1 swallows."""
    gradient = jax.grad(jloss.discrete_flow_matching)(np.float32([-18, 0]), np.int32(0), np.int32(0), np.float32(2))
    p = 1 / (1 + math.exp(18))
    np.testing.assert_allclose(gradient, 2 * p * (1 - p) * np.array([-1, 1]), rtol=1e-5)
