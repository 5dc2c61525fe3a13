"""Values: numbers written out, ties, terminal states, infinite bounds, grids that are not equally spaced, rlax."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss._core import backend
from jloss.reinforcement import _steps, distributional
from jloss.reinforcement._errors import of_action
from jloss.reinforcement.distributional import _by_neighbours, _by_pairs

RNG = np.random.default_rng(1)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# ---------------------------------------------------------------- one step


def test_the_best_next_action_and_the_one_that_another_network_prefers():
    q, next_q, selector = jnp.array([1.0, 5.0]), jnp.array([3.0, 4.0]), jnp.array([9.0, 0.0])
    assert jloss.q_learning(q, 0, 1.0, 0.5, next_q) == 2  # (1 + 2 - 1)^2 / 2
    assert jloss.q_learning(q, 0, 1.0, 0.5, next_q, selector) == 1.125  # (1 + 1.5 - 1)^2 / 2
    assert jloss.q_learning(q, 0, 1.0, 0.5, next_q, jnp.zeros(2)) == 1.125  # the first of equals
    np.testing.assert_array_equal(jax.grad(jloss.q_learning)(q, 0, 1.0, 0.5, next_q), [-2.0, 0.0])
    np.testing.assert_array_equal(jax.grad(jloss.q_learning)(q, 0, 1.0, 0.5, next_q, delta=0.5), [-0.5, 0.0])
    assert jloss.q_learning(q, 0, 1.0, 0.5, next_q, delta=0.5) == 0.5 * (2 - 0.25)


@pytest.mark.slow
def test_actions_out_of_range():
    for action in (-1, 2, 5):
        assert np.isnan(jloss.q_learning(jnp.zeros(2), action, 1.0, 0.9, jnp.zeros(2)))
        assert np.isnan(jloss.sarsa(jnp.zeros(2), 0, 1.0, 0.9, jnp.zeros(2), action))


@pytest.mark.slow
def test_nothing_follows_the_end_of_an_episode():
    q, lost = jnp.array([1.0, 5.0]), jnp.full(2, jnp.nan)
    assert jloss.q_learning(q, 0, 2.0, 0.0, lost) == 0.5
    assert jloss.sarsa(q, 0, 2.0, 0.0, lost, 0) == 0.5
    assert jloss.expected_sarsa(q, 0, 2.0, 0.0, lost, lost) == 0.5
    assert jloss.td_learning(jnp.float32(1.0), 2.0, 0.0, jnp.inf) == 0.5
    assert jloss.munchausen(q, 1, 5.0, 0.0, lost, q) == 0  # sure of action 1: no bonus


@pytest.mark.slow
def test_what_is_stored_behind_the_end_of_an_episode_has_no_influence():
    """NaN in the next values, the next policy and its action, where the discount is 0."""
    nan, zeros, even = jnp.nan, jnp.zeros((3, 2)), jnp.full((3, 2), 0.5)
    rewards, discounts, actions = jnp.ones(3), jnp.array([0.5, 0.0, 0.5]), jnp.array([0, 1, 0])
    whole = jloss.retrace(zeros, actions, rewards, discounts, zeros, jnp.array([1, 0, 0]), even, even[:, 0])
    behind = zeros.at[1].set(nan), jnp.array([1, -1, 0]), even.at[1].set(nan), jnp.array([0.5, nan, 0.5])
    assert jloss.retrace(zeros, actions, rewards, discounts, *behind) == whole
    np.testing.assert_allclose(whole, (0.5 * 1.5**2 + 0.5 + 0.5) / 3, rtol=1e-6)  # the returns are 1.5, 1 and 1
    atoms = jnp.array([-1.0, 0.0, 1.0])
    logits = jnp.log(jnp.array([0.5, 0.25, 0.25]))
    got = jloss.categorical_td(logits, jnp.full(3, nan), 0.5, 0.0, atoms)
    np.testing.assert_allclose(got, -np.log(0.25), rtol=1e-6)  # half of it for 0, half for 1
    assert np.isnan(jloss.categorical_td(logits, jnp.full(3, nan), 0.5, 0.1, atoms))


@pytest.mark.parametrize("size", [1e3, 1e10, 3e38])
def test_the_munchausen_bonus_of_large_values_is_that_of_their_differences(size):
    """Two equal values: a policy of one half. 0.5 (0.9 * 0.03 * log 2)^2, and the same of the next values' softness."""
    q, large = jnp.zeros(2), jnp.full(2, size, jnp.float32)
    step = 0.03 * math.log(2)
    np.testing.assert_allclose(jloss.munchausen(q, 0, 0.0, 0.0, q, large), 0.5 * (0.9 * step) ** 2, rtol=1e-5)
    got = jax.grad(jloss.munchausen)(large, 0, 0.0, 1.0, large, large)  # minus the error
    np.testing.assert_allclose(got[0], 0.9 * step - step, rtol=1e-4, atol=1e-7 * size)


def test_a_policy_of_probability_zero_and_one():
    q, next_q = jnp.zeros(2), jnp.array([1.0, jnp.inf])
    assert jloss.expected_sarsa(q, 0, 0.0, 1.0, next_q, jnp.array([1.0, 0.0])) == 0.5
    assert jloss.expected_sarsa(q, 0, 0.0, 1.0, jnp.array([1.0, 3.0]), jnp.array([0.5, 0.5])) == 2


def test_munchausen_bonus_has_a_floor_and_its_next_value_is_soft():
    zero = jnp.zeros(2)
    np.testing.assert_allclose(  # log pi = -ln 2, times 0.9 and 0.5; the soft value of zeros is 0.5 ln 2
        jloss.munchausen(zero, 0, 0.0, 1.0, zero, zero, temperature=0.5), 0.5 * (0.05 * np.log(2)) ** 2, rtol=1e-5
    )
    far = jnp.array([0.0, 1e4])
    assert jloss.munchausen(zero, 0, 0.0, 0.0, zero, far) == pytest.approx(0.5 * 0.9**2)  # clipped to -1


# ---------------------------------------------------------------- sequences


@pytest.mark.slow
def test_masks_drop_steps_from_the_mean_alone():
    values, rewards, discounts, next_values = normal(4), normal(4), jnp.array([0.9, 0.9, 0.0, 0.9]), normal(4)
    mask = jnp.array([True, True, False, False])
    each = [jloss.td_lambda(values, rewards, discounts, next_values, jnp.arange(4) == i) for i in range(4)]
    np.testing.assert_allclose(jloss.td_lambda(values, rewards, discounts, next_values, mask), (each[0] + each[1]) / 2, rtol=1e-5)
    dirty = [x.at[3].set(jnp.nan) for x in (values, rewards, discounts, next_values)]  # behind the end of the episode
    mask = jnp.array([True, True, True, False])
    clean, wanted = jax.value_and_grad(jloss.td_lambda)(values, rewards, discounts, next_values, mask)
    value, slope = jax.value_and_grad(jloss.td_lambda)(*dirty, mask)
    np.testing.assert_allclose(value, clean, rtol=1e-6)
    np.testing.assert_allclose(slope, wanted, rtol=1e-6)
    for loss, more in ((jloss.td_lambda, ()), (jloss.vtrace, (jnp.zeros(4),))):
        empty, slope = jax.value_and_grad(loss)(values, rewards, discounts, next_values, *more, jnp.zeros(4, bool))
        assert empty == 0
        assert not slope.any()
        assert loss(*[jnp.zeros(0)] * (4 + len(more))) == 0


def test_vtrace_by_hand_and_with_ratios_that_overflow():
    """Errors from the last step back: 1 * (1 - 0), then 0.5 * (1 + 0) + 0.5 * 0.5 * 1."""
    inputs = jnp.zeros(2), jnp.ones(2), jnp.array([0.5, 0.0]), jnp.zeros(2)
    log_ratios = jnp.log(jnp.array([0.5, 4.0]))
    value, slope = jax.value_and_grad(jloss.vtrace)(*inputs, log_ratios)
    np.testing.assert_allclose(value, (0.75**2 + 1) / 4, rtol=1e-6)
    np.testing.assert_allclose(slope, [-0.375, -0.5], rtol=1e-6)
    for far in (1e4, jnp.inf):
        np.testing.assert_allclose(jloss.vtrace(*inputs, jnp.full(2, far)), (1.5**2 + 1) / 4, rtol=1e-6)
    assert jloss.vtrace(*inputs, jnp.full(2, -1e4)) == 0
    wide = jloss.vtrace(*inputs, jnp.full(2, 1e4), clip_rho=jnp.inf, clip_c=1.0)
    assert not np.isnan(wide)


def test_retrace_of_actions_that_are_never_taken():
    q, even = jnp.zeros((2, 2)), jnp.full((2, 2), 0.5)
    call = (q, jnp.array([0, 1]), jnp.ones(2), jnp.array([0.5, 0.0]), q, jnp.array([1, 0]))
    wanted = {0.0: 1.5, 0.25: 1.5, 1.0: 1.25}  # of behaviour: the return of the first step
    for behaviour, target in wanted.items():
        np.testing.assert_allclose(jloss.retrace(*call, even, jnp.full(2, behaviour)), (target**2 + 1) / 4, rtol=1e-6)
    never = jnp.array([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(jloss.retrace(*call, never, jnp.ones(2)), (1 + 1) / 4, rtol=1e-6)


@pytest.mark.slow
def test_many_long_sequences_are_those_one_by_one(monkeypatch):
    """What one CPU computes a few at a time: with a mask, NaN behind it and behind the ends of episodes, ratios that overflow, bf16."""
    monkeypatch.setattr(backend, "on_one_cpu", lambda: True)
    values, rewards, following = (normal(70, 600) for _ in range(3))
    discounts = jnp.asarray(RNG.uniform(0.9, 1, (70, 600)), jnp.float32).at[:, 100::97].set(0.0)
    following = jnp.where(discounts == 0, jnp.nan, following)
    mask = jnp.asarray(RNG.uniform(size=(70, 600)) < 0.8).at[3].set(False)
    broken = jnp.where(mask, values, jnp.nan)
    for loss, more in ((jloss.td_lambda, ()), (jloss.vtrace, (200 * normal(70, 600),))):
        for first, kept in ((values, None), (broken, mask)):
            step = jax.value_and_grad(loss)
            given = (rewards, discounts, following, *more, *([] if kept is None else [kept]))
            assert "length=5\n" in str(jax.make_jaxpr(step)(first, *given))  # blocks of 14
            value, gradient = jax.jit(step)(first, *given)
            if kept is not None and loss is jloss.vtrace:
                assert np.isnan(value)  # its targets are made of the values that the mask drops, too
                continue
            rows = [jax.jit(step)(first[i], *(x[i] for x in given)) for i in (0, 3, 69)]
            np.testing.assert_allclose(gradient[jnp.array([0, 3, 69])], np.stack([g for _, g in rows]) / 70, rtol=1e-4, atol=1e-9)
            each = loss(first, *given, reduction="none")
            np.testing.assert_allclose(each[jnp.array([0, 3, 69])], np.stack([v for v, _ in rows]), rtol=1e-5)
            np.testing.assert_allclose(value, each.mean(), rtol=1e-5)
            assert np.isfinite(value)
        half = jax.jit(jax.grad(loss))(values.astype(jnp.bfloat16), rewards, discounts, following, *more)
        assert half.dtype == jnp.bfloat16
        assert np.isfinite(half.astype(jnp.float32)).all()


@pytest.mark.parametrize("name", ["td_lambda", "vtrace", "retrace"])
def test_targets_are_constants_so_no_loop_runs_back(name):
    """One loop over the steps, for value and gradient."""
    loss = getattr(jloss, name)
    zeros = jnp.zeros(5)
    q, actions = jnp.zeros((5, 2)), jnp.zeros(5, int)
    given = (q, actions, zeros, zeros, q, actions, q, zeros) if name == "retrace" else (zeros,) * (5 if name == "vtrace" else 4)
    program = jax.jit(jax.value_and_grad(loss)).lower(*given).compile().as_text()
    assert program.count(" while(") == 1


@pytest.mark.parametrize("action", [-1, 2, 4])
def test_one_action_out_of_range_among_many(action):
    """Where few actions are selected one by one: NaN in that example alone, value and gradient of the others as ever."""
    q, even, actions = normal(40, 1000, 2), jnp.full((40, 1000, 2), 0.5), jnp.asarray(RNG.integers(0, 2, (40, 1000)))
    rewards, discounts, behaviour = normal(40, 1000), jnp.full((40, 1000), 0.9), jnp.full((40, 1000), 0.5)
    given = rewards, discounts, q, actions, even, behaviour
    values = jloss.retrace(q, actions.at[7, 3].set(action), *given, reduction="none")
    np.testing.assert_array_equal(np.isnan(values), np.arange(40) == 7)
    alone = jax.value_and_grad(jloss.retrace)(q[5], actions[5], *(x[5] for x in given))
    np.testing.assert_allclose(values[5], alone[0], rtol=1e-5)
    gradient = jax.jit(jax.grad(lambda q: jloss.retrace(q, actions, *given)))(q)
    np.testing.assert_allclose(gradient[5] * 40, alone[1], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("count", [1, 2, 8, 9])
def test_the_value_of_an_action_has_a_gradient_there_alone(count):
    """Also beside infinite values and NaN of other actions; one out of range has none."""
    actions = jnp.arange(-1, count + 1)
    values = normal(count + 2, count).at[1 : count + 1].set(jnp.where(jnp.eye(count) == 1, 2.0, jnp.array([jnp.nan, jnp.inf] * 5)[:count]))
    found, pull = jax.jit(lambda v: jax.vjp(lambda v: of_action(v, actions), v))(values)
    np.testing.assert_array_equal(found, [np.nan, *[2.0] * count, np.nan])
    np.testing.assert_array_equal(pull(jnp.full(count + 2, 3.0))[0][1:-1], 3 * np.eye(count))
    np.testing.assert_array_equal(pull(jnp.full(count + 2, 3.0))[0][:: count + 1], 0)


@pytest.mark.slow
@pytest.mark.parametrize("sequences", [63, 80, 96, 257])
def test_retrace_of_groups_of_sequences_is_that_of_each(sequences, monkeypatch):
    """Loops over 32 sequences at a time, where they make two to eight groups, the last maybe smaller; targets stay constants."""
    monkeypatch.setattr(_steps, "on_one_cpu", lambda: True)
    t = 600
    q, next_q, rewards = normal(sequences, t, 2), normal(sequences, t, 2), normal(sequences, t)
    actions, even = jnp.asarray(RNG.integers(0, 2, (sequences, t))), jnp.full((sequences, t, 2), 0.5)
    discounts = jnp.full((sequences, t), 0.9).at[:, 100::97].set(0.0)
    given = q, actions, rewards, discounts, next_q, actions, even, jnp.full((sequences, t), 0.6)
    step = jax.jit(jax.value_and_grad(jloss.retrace, argnums=(0, 2, 4, 6)))
    assert str(jax.make_jaxpr(step)(*given)).count("length=600") == {80: 3, 96: 3}.get(sequences, 1)
    value, (slopes, *others) = step(*given)
    each = jax.vmap(jax.value_and_grad(jloss.retrace))(*given)
    alone = jax.value_and_grad(jloss.retrace)(*(x[-1] for x in given))
    np.testing.assert_allclose(value, each[0].mean(), rtol=1e-5)
    np.testing.assert_allclose(slopes * sequences, each[1], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(slopes[-1] * sequences, alone[1], rtol=1e-4, atol=1e-8)
    assert not any(jnp.any(other) for other in others)


@pytest.mark.parametrize("actions", [1, 2, 7, 8, 9, 40])
def test_the_mean_over_few_actions_and_over_many(actions):
    rng = np.random.default_rng(actions)
    next_q, probs = rng.normal(size=(3, actions)), rng.dirichlet(np.ones(actions), 3)
    probs[:, 1::2] = 0.0  # the last of an even number among them
    unused = next_q.copy()
    unused[:, 1::2] = [[np.inf], [np.nan], [-np.inf]]
    target = 1 + 0.5 * sum(p * v for p, v in zip(probs.T, next_q.T, strict=True))
    q, steps = jnp.zeros((3, actions)), jnp.zeros(3, jnp.int32)
    for values in (next_q, unused):
        given = (q, steps, jnp.ones(3), jnp.full(3, 0.5), jnp.asarray(values, jnp.float32))
        found = jloss.expected_sarsa(*given, jnp.asarray(probs, jnp.float32), reduction="none")
        np.testing.assert_allclose(found, target**2 / 2, rtol=1e-5)
        found = jloss.retrace(*given, steps, jnp.asarray(probs, jnp.float32), jnp.ones(3), lam=0.0)
        np.testing.assert_allclose(found, np.mean(target**2) / 2, rtol=1e-5)


# ---------------------------------------------------------------- distributions


@pytest.mark.slow
def test_quantiles_by_hand():
    quantiles, targets = jnp.array([0.0, 1.0]), jnp.array([2.0])
    np.testing.assert_allclose(jloss.quantile_td(quantiles, targets), 0.25 * 1.5 + 0.75 * 0.5)
    np.testing.assert_allclose(jloss.quantile_td(quantiles, targets, kappa=0.0), 0.25 * 2 + 0.75 * 1)
    np.testing.assert_allclose(jloss.quantile_td(quantiles, targets, kappa=4.0), 0.25 * 4 / 8 + 0.75 * 1 / 8)
    np.testing.assert_allclose(jloss.quantile_td(quantiles, targets, jnp.array([0.0, 1.0])), 0.5)
    for kappa in (0.0, 1.0, 1e-6):
        value, slope = jax.value_and_grad(jloss.quantile_td)(jnp.array([2.0, 2.0]), targets, kappa=kappa)
        assert value == 0
        assert not slope.any()
    assert jloss.quantile_td(quantiles, jnp.zeros(0)) == 0


ATOMS = jnp.array([-1.0, 0.0, 0.5, 3.0])


@pytest.mark.parametrize(
    ("target", "shares"),
    [
        *((-9.0, [1, 0, 0, 0]), (-1.0, [1, 0, 0, 0]), (-0.25, [0.25, 0.75, 0, 0]), (0.5, [0, 0, 1, 0]), (1.0, [0, 0, 0.8, 0.2])),
        *((3.0, [0, 0, 0, 1]), (1e30, [0, 0, 0, 1]), (np.inf, [0, 0, 0, 1]), (-np.inf, [1, 0, 0, 0])),
    ],
)
def test_a_number_is_shared_by_its_neighbours(target, shares):
    logits = normal(4)
    found = jloss.categorical_projection(jnp.float32([target]), jnp.ones(1), ATOMS)
    np.testing.assert_allclose(found, shares, atol=1e-7)
    np.testing.assert_allclose(jloss.two_hot(logits, target, ATOMS), -jnp.dot(found, jax.nn.log_softmax(logits)), rtol=1e-5)
    slope = jax.grad(jloss.two_hot)(logits, target, ATOMS)
    np.testing.assert_allclose(slope, jax.nn.softmax(logits) - found, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("way", [_by_pairs, _by_neighbours])  # of accelerators, and of CPUs
def test_a_number_on_an_atom_belongs_to_that_atom_alone(way, monkeypatch, request):
    """On accelerators a neighbour had a share of 6e-8: it cost infinity where the neighbour is absent, and 6e-4 where its logit is -1e4."""
    monkeypatch.setattr(distributional, "by_platform", lambda *inputs, **ways: way(*inputs))
    jax.clear_caches()  # what is traced in one way is not for the other, nor for the tests behind
    request.addfinalizer(jax.clear_caches)
    irregular = np.sort(np.random.default_rng(0).normal(size=50))  # so that some gaps times one over them are below 1
    atoms = jnp.asarray(irregular, jnp.float32)
    logits = jnp.where(jnp.eye(50, dtype=bool), 0.0, -jnp.inf)
    np.testing.assert_array_equal(jloss.categorical_projection(atoms[:, None], jnp.ones((50, 1)), atoms), np.eye(50))
    np.testing.assert_array_equal(jloss.two_hot(logits, atoms, atoms, reduction="none"), 0.0)
    np.testing.assert_array_equal(jloss.categorical_td(logits, logits, 0.0, 1.0, atoms, reduction="none"), 0.0)


@pytest.mark.slow
def test_a_projection_keeps_mass_and_mean():
    points, probs = normal(3, 9) * 0.5 + 0.5, jax.nn.softmax(normal(3, 9))
    found = jloss.categorical_projection(points, probs, ATOMS)
    np.testing.assert_allclose(found.sum(-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(found @ ATOMS, jnp.sum(probs * jnp.clip(points, -1, 3), -1), rtol=1e-5)
    assert (found >= 0).all()
    np.testing.assert_allclose(jloss.categorical_projection(ATOMS, jnp.full(4, 0.25), ATOMS), 0.25, rtol=1e-6)


def test_the_end_of_an_episode_is_one_point():
    value = jloss.categorical_td(jnp.zeros(4), normal(4), 0.25, 0.0, ATOMS)
    np.testing.assert_allclose(value, np.log(4), rtol=1e-6)
    slope = jax.grad(jloss.categorical_td)(jnp.zeros(4), normal(4), 0.25, 0.0, ATOMS)
    np.testing.assert_allclose(slope, [0.25, -0.25, -0.25, 0.25], atol=1e-6)
    absent = jnp.array([0.0, -jnp.inf, 0.0, 0.0])  # a class that is not there, and has no target
    assert np.isfinite(jloss.two_hot(absent, 2.0, ATOMS))
    assert np.isfinite(jax.grad(jloss.two_hot)(absent, 2.0, ATOMS)).all()


def test_gaussian_targets():
    edges = jnp.arange(5.0)
    even = jloss.hl_gauss(jnp.zeros(4), 2.0, edges, sigma=1e3)
    np.testing.assert_allclose(even, np.log(4), rtol=1e-5)
    logits = jnp.array([0.0, 1.0, 2.0, 3.0])
    log_q = np.log(np.exp([0.0, 1.0, 2.0, 3.0]) / np.exp([0.0, 1.0, 2.0, 3.0]).sum())
    np.testing.assert_allclose(jloss.hl_gauss(logits, 1.5, edges, sigma=1e-3), -log_q[1], rtol=1e-6)
    middle = jloss.hl_gauss(logits, 2.0, edges)  # symmetric: shares a, b, b, a with a / b of the normal distribution
    a, b = 0.9961696 - 0.9087888, 0.9087888 - 0.5  # Phi(2 / 0.75), Phi(1 / 0.75)
    np.testing.assert_allclose(middle, -(a * (log_q[0] + log_q[3]) + b * (log_q[1] + log_q[2])) / (2 * (a + b)), rtol=1e-5)
    for far, end in ((1e6, 4.0), (-1e6, 0.0), (jnp.inf, 4.0)):
        np.testing.assert_allclose(jloss.hl_gauss(logits, far, edges), jloss.hl_gauss(logits, end, edges), rtol=1e-6)
    slope = jax.grad(jloss.hl_gauss)(logits, 1e30, edges, sigma=0.1)
    np.testing.assert_allclose(slope, np.exp(log_q) - [0, 0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_gaussian_target_has_digits_six_deviations_away(mirrored):
    """There both ends of a bin have rounded to 0 or to 1 in float32."""
    logits, edges, target = jnp.zeros(8).at[5].set(-1e9), jnp.arange(9.0), 0.5  # the bin from 6 to 7.3 deviations
    share = 0.5 * (math.erfc(6 / math.sqrt(2)) - math.erfc(5.5 / 0.75 / math.sqrt(2)))
    inside = 1 - 0.5 * math.erfc(0.5 / 0.75 / math.sqrt(2))
    if mirrored:
        logits, target = logits[::-1], 7.5
    found = jloss.hl_gauss(logits, target, edges)
    np.testing.assert_allclose(found, share / inside * 1e9 + np.log(7), rtol=1e-4)


def test_rlax_agrees():
    rlax = pytest.importorskip("rlax")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        compare_with(rlax)


def compare_with(rlax):
    def half_square(errors):
        return 0.5 * np.mean(np.square(errors))

    q, next_q, selector, other = normal(6, 3), normal(6, 3), normal(6, 3), normal(6, 3)
    actions, next_actions = (jnp.asarray(RNG.integers(0, 3, 6), jnp.int32) for _ in range(2))
    rewards, discounts = normal(6), jnp.asarray(RNG.uniform(0.5, 1.0, 6), jnp.float32).at[2].set(0.0)
    probs, behaviour = jax.nn.softmax(normal(6, 3)), jnp.asarray(RNG.uniform(0.1, 0.9, 6), jnp.float32)
    values, next_values, log_ratios = normal(6), normal(6), normal(6)
    each = jax.vmap
    pairs = [
        (jloss.q_learning(q, actions, rewards, discounts, next_q), each(rlax.q_learning)(q, actions, rewards, discounts, next_q)),
        (
            jloss.q_learning(q, actions, rewards, discounts, next_q, selector),
            each(rlax.double_q_learning)(q, actions, rewards, discounts, next_q, selector),
        ),
        (
            jloss.sarsa(q, actions, rewards, discounts, next_q, next_actions),
            each(rlax.sarsa)(q, actions, rewards, discounts, next_q, next_actions),
        ),
        (
            jloss.expected_sarsa(q, actions, rewards, discounts, next_q, probs),
            each(rlax.expected_sarsa)(q, actions, rewards, discounts, next_q, probs),
        ),
        (jloss.td_learning(values, rewards, discounts, next_values), each(rlax.td_learning)(values, rewards, discounts, next_values)),
        (
            jloss.td_lambda(values, rewards, discounts, next_values, lam=0.8),
            rlax.td_lambda(values, rewards, discounts, next_values, 0.8),
        ),
        (
            jloss.vtrace(values, rewards, discounts, next_values, log_ratios, lam=0.8),
            rlax.vtrace(values, next_values, rewards, discounts, jnp.exp(log_ratios), 0.8),
        ),
        (
            jloss.retrace(q, actions, rewards, discounts, next_q, next_actions, probs, behaviour, lam=0.8),
            rlax.retrace(q, next_q, actions, next_actions, rewards, discounts, probs, behaviour, 0.8),
        ),
    ]
    for i, (ours, errors) in enumerate(pairs):
        np.testing.assert_allclose(ours, half_square(errors), rtol=1e-4, err_msg=str(i))
    atoms, wanted = jnp.array([-1.0, 0.0, 0.5, 3.0]), normal(5)
    projected = rlax.categorical_l2_project(wanted, jax.nn.softmax(wanted), atoms)
    np.testing.assert_allclose(jloss.categorical_projection(wanted, jax.nn.softmax(wanted), atoms), projected, atol=1e-6)
    levels = jnp.array([1 / 6, 0.5, 5 / 6])
    for kappa in (0.0, 1.0, 2.0):  # which it does not divide by
        theirs = rlax.quantile_regression_loss(q[0], levels, other[0], kappa)
        np.testing.assert_allclose(jloss.quantile_td(q[0], other[0], kappa=kappa) * (kappa or 1), theirs, rtol=1e-5)
