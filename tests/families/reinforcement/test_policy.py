"""Policies: numbers written out, overflowing ratios, ties at the clip, empty and masked responses, equal rewards, rlax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

LOG2 = 0.6931471805599453


def slope(loss, *inputs, **options):
    return float(jax.grad(loss)(*map(jnp.float32, inputs), **options))


# ---------------------------------------------------------------- ratios


@pytest.mark.parametrize(("log_ratio", "advantage"), [(100.0, 1.0), (100.0, -1.0), (-1e4, 1.0), (1e4, -1.0), (np.inf, -1.0)])
def test_a_ratio_that_overflows_is_finite_and_has_gradient_zero(log_ratio, advantage):
    for loss in (jloss.ppo_clip, jloss.cispo, jloss.sapo):
        value, gradient = jax.value_and_grad(loss)(jnp.float32(log_ratio), jnp.float32(0.0), jnp.float32(advantage))
        assert np.isfinite(gradient)
        assert np.isfinite(value) or (loss is jloss.cispo and np.isinf(log_ratio))
    assert slope(jloss.ppo_clip, log_ratio, 0.0, advantage) == 0
    row = jnp.full(3, log_ratio, jnp.float32)
    for ratio in ("token", "sequence"):
        value, gradient = jax.value_and_grad(jloss.grpo)(row, jnp.zeros(3), advantage * jnp.ones(3), ratio=ratio)
        assert np.isfinite(value)
        assert not np.asarray(gradient).any()
    value, gradient = jax.value_and_grad(jloss.gmpo)(row, jnp.zeros(3), advantage * jnp.ones(3))
    assert np.isfinite(value)
    assert not np.asarray(gradient).any()


def test_the_largest_ratio_that_counts():
    np.testing.assert_allclose(jloss.ppo_clip(jnp.float32(25.0), jnp.float32(0.0), jnp.float32(-1.0)), np.exp(20.0), rtol=1e-6)
    assert jloss.ppo_clip(jnp.float32(25.0), jnp.float32(0.0), jnp.float32(-1.0), dual_clip=3.0) == 3
    assert slope(jloss.ppo_clip, 1.0, 0.0, -1.0, dual_clip=2.0) == 0  # e is above 2
    np.testing.assert_allclose(slope(jloss.ppo_clip, 0.5, 0.0, -1.0, dual_clip=2.0), np.exp(0.5), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_the_first_step_has_the_whole_gradient(advantage):
    """At ratio 1 both surrogates are equal; also where nothing is let above or below 1 for the side that is not bounded."""
    assert jloss.ppo_clip(jnp.float32(-1.5), jnp.float32(-1.5), jnp.float32(advantage)) == -advantage
    assert slope(jloss.ppo_clip, -1.5, -1.5, advantage) == -advantage
    assert slope(jloss.ppo_clip, -1.5, -1.5, advantage, clip_low=0.0, clip_high=0.0) == -advantage
    np.testing.assert_allclose(slope(jloss.sapo, -1.5, -1.5, advantage), -advantage, rtol=1e-6)
    assert slope(jloss.cispo, -1.5, -1.5, advantage) == -advantage
    row, many = jnp.full(4, -1.5), jnp.full(4, advantage)
    for loss in (jloss.grpo, jloss.gmpo, lambda *x: jloss.grpo(*x, ratio="sequence")):
        np.testing.assert_allclose(jax.grad(loss)(row, row, many), -advantage / 4 * np.ones(4), rtol=1e-6)


def test_without_clipping_it_is_the_surrogate_of_trpo():
    ratio, advantages = jnp.array([0.1, 3.0, 9.0]), jnp.array([1.0, -2.0, 0.5])
    wide = {"clip_low": jnp.inf, "clip_high": jnp.inf}
    np.testing.assert_allclose(
        jloss.ppo_clip(jnp.log(ratio), jnp.zeros(3), advantages, **wide, reduction="none"), [-0.1, 6.0, -4.5], rtol=1e-6
    )


# ---------------------------------------------------------------- responses


def test_a_response_by_hand():
    """Ratios 1.5 and 0.5, clipped to 1.2 and 0.8 where that is less; k3 of ln 2 is 1/2 - 1 + ln 2."""
    log_probs, old = jnp.log(jnp.array([1.5, 0.5])), jnp.zeros(2)
    up, down = jnp.ones(2), -jnp.ones(2)
    np.testing.assert_allclose(jloss.grpo(log_probs, old, up), -(1.2 + 0.5) / 2, rtol=1e-6)
    np.testing.assert_allclose(jloss.grpo(log_probs, old, down), (1.5 + 0.8) / 2, rtol=1e-6)
    np.testing.assert_allclose(jloss.grpo(log_probs, old, down, steps="sum"), 1.5 + 0.8, rtol=1e-6)
    np.testing.assert_allclose(jloss.grpo(log_probs, old, down, ratio="sequence"), np.sqrt(0.75), rtol=1e-6)
    near = {"reference_log_probs": log_probs - LOG2, "beta": 0.1}
    np.testing.assert_allclose(jloss.grpo(log_probs, old, up, **near), -0.85 + 0.1 * (LOG2 - 0.5), rtol=1e-6)
    np.testing.assert_allclose(jloss.gmpo(jnp.array([0.2, 0.9]), old, up), -np.exp(0.3), rtol=1e-6)
    np.testing.assert_allclose(jloss.gmpo(jnp.array([0.2, -0.9]), old, down), np.exp(-0.1), rtol=1e-6)


def test_beta_needs_the_reference():
    row = jnp.zeros(2)
    assert np.isnan(jloss.grpo(row, row, row, beta=jnp.float32(0.1)))
    with pytest.raises(ValueError, match=r"grpo: `beta` needs `reference_log_probs`, got beta=0\.1 without them"):
        jloss.grpo(row, row, row, beta=0.1)
    assert jloss.grpo(row, row, row, beta=0.0) == 0


@pytest.mark.slow
def test_transforms_look_at_the_call_as_the_loss_does():
    rows, hidden, kernel = jnp.zeros((4, 4)), jnp.ones((4, 4, 3)), jnp.ones((5, 3))
    heads = hidden, kernel, jnp.zeros((4, 4), int)
    headed, near = jloss.linear_head(jloss.grpo), functools.partial(jloss.grpo, beta=0.1)
    for call in (
        lambda: headed(*heads, rows, rows, beta=0.1),
        lambda: jloss.linear_head(near)(*heads, rows, rows),
        lambda: jloss.chunked(jloss.grpo)(rows, rows, rows, beta=0.1),
        lambda: jloss.chunked(near)(rows, rows, rows),
    ):
        with pytest.raises(ValueError, match=r"(linear_head|chunked)\(grpo\): `beta` needs `reference_log_probs`, got beta=0\.1"):
            call()
    assert np.isfinite(headed(*heads, rows, rows, reference_log_probs=rows, beta=0.1))
    assert np.isfinite(jloss.linear_head(jloss.grpo, teacher=True)(hidden, kernel, *heads, rows, rows, beta=0.1))
    with pytest.raises(ValueError, match=r"one per response: jnp\.broadcast_to\(advantages\[:, None\], labels\.shape\)"):
        headed(*heads, rows, jnp.arange(4.0))


@pytest.mark.parametrize("loss", [jloss.grpo, jloss.gmpo])
def test_one_advantage_per_response_is_not_one_per_token(loss):
    square, wide = jnp.zeros((8, 8)), jnp.zeros((8, 5))
    with pytest.raises(ValueError, match=r"one per response: jnp\.broadcast_to\(advantages\[:, None\], log_probs\.shape\)"):
        loss(square, square, jnp.arange(8.0))
    of_tokens = jnp.broadcast_to(jnp.arange(5.0), (8, 5))
    np.testing.assert_allclose(loss(wide, wide, jnp.arange(5.0)), loss(wide, wide, of_tokens), rtol=1e-6)  # one row for all is fine


@pytest.mark.parametrize("loss", [jloss.grpo, jloss.gmpo])
def test_what_is_masked_does_not_matter(loss):
    log_probs, old, advantages = jnp.array([0.1, jnp.nan, 0.3]), jnp.array([0.0, 1e4, 0.0]), jnp.array([1.0, jnp.inf, 1.0])
    mask = jnp.array([True, False, True])
    value, gradient = jax.value_and_grad(loss)(log_probs, old, advantages, mask)
    kept, short = jax.value_and_grad(loss)(log_probs[::2], old[::2], advantages[::2])
    np.testing.assert_allclose(value, kept, rtol=1e-6)
    np.testing.assert_allclose(gradient, [short[0], 0, short[1]], rtol=1e-6)
    empty, gradient = jax.value_and_grad(loss)(log_probs, old, advantages, jnp.zeros(3, bool))
    assert empty == 0
    assert not gradient.any()
    assert loss(jnp.zeros(0), jnp.zeros(0), jnp.zeros(0)) == 0


def test_long_bfloat16_responses_are_averaged_in_float32():
    tokens = jnp.full(4096, -0.25, jnp.bfloat16)
    np.testing.assert_allclose(jloss.grpo(tokens, tokens, jnp.ones(4096, jnp.bfloat16)), -1.0, rtol=1e-6)


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize("u", [1e-4, -1e-4, 1e-6])
def test_k3_near_a_match_has_four_digits(u):
    value, gradient = jax.value_and_grad(jloss.kl_estimate)(jnp.float32(u), jnp.float32(0.0))
    np.testing.assert_allclose(value, u * u / 2 - u**3 / 6, rtol=1e-5)
    np.testing.assert_allclose(gradient, u - u * u / 2, rtol=1e-5)


@pytest.mark.slow
def test_estimators_far_away():
    values = {k: float(jloss.kl_estimate(jnp.float32(-1e4), jnp.float32(0.0), estimator=k)) for k in ("k1", "k2", "k3")}
    assert values["k1"] == -1e4
    assert values["k2"] == 5e7
    np.testing.assert_allclose(values["k3"], np.exp(20.0) - 21, rtol=1e-6)
    assert slope(jloss.kl_estimate, -1e4, 0.0) == 0
    assert slope(jloss.kl_estimate, -3.0, -3.0) == 0


def test_values_that_moved_far_cost_nothing_more():
    assert jloss.ppo_value(jnp.float32(0.5), jnp.float32(0.0), jnp.float32(2.0)) == pytest.approx(0.5 * 1.8**2)
    assert slope(jloss.ppo_value, 0.5, 0.0, 2.0) == 0
    assert slope(jloss.ppo_value, -0.5, 0.0, 2.0) == -2.5  # away from the target it still costs
    assert slope(jloss.ppo_value, 1.0, 0.0, 0.0, clip=1.0) == 1  # at the bound
    assert jloss.ppo_value(jnp.float32(3.0), jnp.float32(0.0), jnp.float32(1.0), clip=None) == 2
    assert slope(jloss.ppo_value, 1.0, 1.0, 1.0) == 0


def test_weights_of_recorded_actions_are_bounded():
    log_probs, advantages = jnp.zeros(3), jnp.array([0.0, 1e4, -1e4])
    np.testing.assert_allclose(jax.grad(jloss.awr)(log_probs, advantages, reduction="sum"), [-1, -20, 0])
    assert np.isfinite(jloss.awr(log_probs, advantages, max_weight=jnp.inf))


def test_the_temperature_of_sac_falls_where_entropy_is_high():
    assert slope(jloss.sac_temperature, 0.0, -3.0, target_entropy=-2.0) == 5
    assert slope(jloss.sac_temperature, 0.0, 3.0, target_entropy=-2.0) == -1
    assert jloss.sac_temperature(jnp.float32(1e4), jnp.float32(0.0)) == 0


# ---------------------------------------------------------------- returns


@pytest.mark.slow
def test_advantages_of_a_group():
    rewards = jnp.array([[1.0, 0.0, 0.0, 1.0], [0.1, 0.1, 0.1, 0.1]])
    std = np.sqrt(1 / 3)
    np.testing.assert_allclose(jloss.group_advantages(rewards)[0], np.array([0.5, -0.5, -0.5, 0.5]) / (std + 1e-4), rtol=1e-6)
    np.testing.assert_array_equal(jloss.group_advantages(rewards)[1], 0)  # equal rewards, exactly
    others = jloss.group_advantages(rewards, baseline="leave_one_out", scale=False)[0]
    np.testing.assert_allclose(others, [2 / 3, -2 / 3, -2 / 3, 2 / 3], rtol=1e-6)  # 1 - 1/3: the mean of the others
    mask = jnp.array([True, True, False, False])
    np.testing.assert_allclose(jloss.group_advantages(jnp.array([1.0, 0, jnp.nan, 7]), mask, scale=False), [0.5, -0.5, 0, 0])
    with pytest.raises(ValueError, match=r"group_advantages: `baseline` must"):
        jloss.group_advantages(rewards, baseline="median")


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"baseline": "leave_one_out"}, {"baseline": "leave_one_out", "scale": False}])
def test_one_response_and_equal_rewards_have_no_advantage(options):
    for rewards in (jnp.array([5.0]), jnp.full(4, 0.3), jnp.zeros(3)):
        value = jloss.group_advantages(rewards, **options)
        np.testing.assert_array_equal(value, 0)
        gradient = jax.grad(lambda r: jloss.group_advantages(r, **options)[0])(rewards)
        assert np.isfinite(gradient).all()
    assert not jloss.group_advantages(jnp.ones(3), jnp.zeros(3, bool), **options).any()


@pytest.mark.parametrize("mask", [None, np.zeros(3, bool)])
@pytest.mark.parametrize("reward", [0.0, 0.1, 1e30])
def test_equal_rewards_have_advantage_0_without_epsilon_too(reward, mask):
    for rewards in (jnp.full(3, reward), jnp.full(1, reward)):
        kept = mask if mask is None else mask[: len(rewards)]
        found, pull = jax.vjp(lambda r, kept=kept: jloss.group_advantages(r, kept, epsilon=0.0), rewards)
        np.testing.assert_array_equal(found, 0)
        assert np.isfinite(pull(jnp.ones_like(found))[0]).all()


def test_a_mask_of_a_group_is_boolean():
    wanted = [0.5, 0.0, -0.5]
    np.testing.assert_array_equal(jloss.group_advantages([1.0, 7.0, 0.0], [True, False, True], scale=False), wanted)
    with pytest.raises(TypeError, match=r"group_advantages: `mask` must be boolean, got int"):
        jloss.group_advantages(jnp.array([1.0, 7.0, 0.0]), jnp.array([1, 0, 1]))
    with pytest.raises(ValueError, match=r"group_advantages: `mask` has shape \(2,\), but `rewards` \(3,\)"):
        jloss.group_advantages(jnp.array([1.0, 7.0, 0.0]), jnp.ones(2, bool))


def test_the_number_of_steps_is_static():
    with pytest.raises(TypeError, match="n_step_returns: `n` is static and must be a Python int, got an array"):
        jloss.n_step_returns(jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.array(2))


@pytest.mark.slow
def test_equal_rewards_whose_mean_is_rounded_have_no_advantage():
    """The mean of eleven times 1.1 is another float32 than 1.1; over a deviation of 0 and an epsilon of 1e-6 that would count."""
    for count in (7, 11, 13):
        for reward in (0.1, 0.7, 1.1, 1e3 / 3):
            assert not jloss.group_advantages(jnp.full(count, reward), epsilon=1e-6).any(), (count, reward)


def by_loop(rewards, values, discounts, lam):
    """Generalised advantages, by their sum over all steps ahead."""
    advantages = np.zeros(len(rewards))
    for t in range(len(rewards)):
        weight = 1.0
        for i in range(t, len(rewards)):
            advantages[t] += weight * (rewards[i] + discounts[i] * values[i + 1] - values[i])
            weight *= discounts[i] * lam
    return advantages


RNG = np.random.default_rng(0)
REWARDS, VALUES, DISCOUNTS = RNG.normal(size=7), RNG.normal(size=8), RNG.uniform(0.5, 1.0, 7)
DISCOUNTS[3] = 0.0


def test_gae_and_lambda_returns():
    rewards, values, discounts = (jnp.asarray(x, jnp.float32) for x in (REWARDS, VALUES, DISCOUNTS))
    advantages = jloss.gae(rewards, values, discounts, lam=0.8)
    np.testing.assert_allclose(advantages, by_loop(REWARDS, VALUES, DISCOUNTS, 0.8), rtol=1e-5, atol=1e-6)
    returns = jloss.lambda_returns(rewards, discounts, values[1:], lam=0.8)
    np.testing.assert_allclose(returns, advantages + values[:-1], rtol=1e-5, atol=1e-6)
    both = jloss.gae(*(jnp.stack([x, x])[:, None] for x in (rewards, values, discounts)), lam=0.8)
    np.testing.assert_allclose(both[1, 0], advantages, rtol=1e-6)
    assert jloss.gae(jnp.zeros(0), jnp.zeros(1), jnp.zeros(0)).shape == (0,)


def test_n_step_returns_are_the_ends_of_lambda_returns():
    rewards, values, discounts = (jnp.asarray(x, jnp.float32) for x in (REWARDS, VALUES, DISCOUNTS))
    for n, lam in ((1, 0.0), (7, 1.0), (100, 1.0)):
        steps = jloss.n_step_returns(rewards, discounts, values[1:], n)
        np.testing.assert_allclose(steps, jloss.lambda_returns(rewards, discounts, values[1:], lam=lam), rtol=1e-5, atol=1e-6)
    two = jloss.n_step_returns(rewards, discounts, values[1:], 2)
    np.testing.assert_allclose(two[0], REWARDS[0] + DISCOUNTS[0] * (REWARDS[1] + DISCOUNTS[1] * VALUES[2]), rtol=1e-5)
    with pytest.raises(ValueError, match="`n` must be 1 or more, got 0"):
        jloss.n_step_returns(rewards, discounts, values[1:], 0)


def test_what_stands_behind_the_end_of_an_episode_does_not_matter():
    rewards, values, discounts = (np.float32(x) for x in (REWARDS, VALUES, DISCOUNTS))
    lost, wrong = np.where(np.arange(7) > 3, np.nan, rewards), np.where(np.arange(8) > 3, np.nan, values)
    for found, clean in (
        (jloss.gae(lost, wrong, discounts), jloss.gae(rewards, values, discounts)),
        (jloss.lambda_returns(lost, discounts, wrong[1:]), jloss.lambda_returns(rewards, discounts, values[1:])),
        (jloss.n_step_returns(lost, discounts, wrong[1:], 3), jloss.n_step_returns(rewards, discounts, values[1:], 3)),
    ):
        np.testing.assert_allclose(found[:4], clean[:4], rtol=1e-6)


def test_vtrace_on_the_policy_is_the_lambda_return_and_no_ratio_overflows():
    rewards, values, discounts = (jnp.asarray(x, jnp.float32) for x in (REWARDS, VALUES, DISCOUNTS))
    targets, advantages = jloss.vtrace_targets(values[:-1], rewards, discounts, values[1:], jnp.zeros(7), lam=0.9)
    np.testing.assert_allclose(targets, jloss.lambda_returns(rewards, discounts, values[1:], lam=0.9), rtol=1e-5, atol=1e-6)
    assert advantages.shape == (7,)
    far, _ = jloss.vtrace_targets(values[:-1], rewards, discounts, values[1:], jnp.full(7, 1e4), lam=0.9)
    np.testing.assert_allclose(far, targets, rtol=1e-6)  # bounded by 1
    never, advantages = jloss.vtrace_targets(values[:-1], rewards, discounts, values[1:], jnp.full(7, -1e4))
    np.testing.assert_array_equal(never, values[:-1])
    assert not advantages.any()


def test_advantages_of_vtrace_mix_the_target_and_the_value_of_the_next_state():
    """Errors of 3 and 2 + 0.25 * 3; half of the next target is 1.5, half of its value 1, and both are of the value at the end."""
    rewards, discounts, next_values = jnp.ones(2), jnp.full(2, 0.5), jnp.array([2.0, 4.0])
    targets, advantages = jloss.vtrace_targets(jnp.zeros(2), rewards, discounts, next_values, jnp.zeros(2), lam=0.5)
    np.testing.assert_allclose(targets, [2.75, 3.0])
    np.testing.assert_allclose(advantages, [1 + 0.5 * (1.5 + 1.0), 3.0])


def test_rlax_agrees():
    rlax = pytest.importorskip("rlax")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        compare_with(rlax)


def compare_with(rlax):
    rewards, values, discounts = (jnp.asarray(x, jnp.float32) for x in (REWARDS, VALUES, DISCOUNTS))
    log_ratios = jnp.asarray(RNG.normal(size=7), jnp.float32)
    wanted = rlax.vtrace_td_error_and_advantage(values[:-1], values[1:], rewards, discounts, jnp.exp(log_ratios), 0.8)
    targets, advantages = jloss.vtrace_targets(values[:-1], rewards, discounts, values[1:], log_ratios, lam=0.8)
    np.testing.assert_allclose(targets - values[:-1], wanted.errors, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(advantages, wanted.pg_advantage, rtol=1e-5, atol=1e-6)
    returns = rlax.lambda_returns(rewards, discounts, values[1:], 0.7)
    np.testing.assert_allclose(jloss.lambda_returns(rewards, discounts, values[1:], lam=0.7), returns, rtol=1e-5, atol=1e-6)
    advantages = rlax.truncated_generalized_advantage_estimation(rewards, discounts, 0.9, values)
    np.testing.assert_allclose(jloss.gae(rewards, values, discounts, lam=0.9), advantages, rtol=1e-5, atol=1e-6)
    for n in (1, 3, 7):
        wanted = rlax.n_step_bootstrapped_returns(rewards, discounts, values[1:], n)
        np.testing.assert_allclose(jloss.n_step_returns(rewards, discounts, values[1:], n), wanted, rtol=1e-5, atol=1e-6)
