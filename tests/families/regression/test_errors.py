"""Worked numbers, edges and peers of the elementwise regression losses: regression.py, robust.py, likelihood.py."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss
from tests.compiled import AS_USERS
from tests.peers import agree, draws

INF = float("inf")


def slope(loss, error, **options):
    """The derivative of a loss in its prediction, the target being 0."""
    return float(jax.grad(lambda e: loss(e, jnp.zeros_like(e), **options))(jnp.float32(error)))


# ---------------------------------------------------------------- numbers


@pytest.mark.slow
def test_worked_numbers():
    ones, targets = jnp.ones((2, 2)), jnp.array([[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_allclose(jloss.absolute_error(ones, targets), 1.0)
    np.testing.assert_allclose(jloss.smooth_l1(ones, targets), 0.625)
    np.testing.assert_allclose(jloss.squared_error(ones, targets), 1.5)
    np.testing.assert_allclose(jloss.smooth_l1(jnp.array([0.8, 0.1]), jnp.ones(2)), 0.2125, rtol=1e-6)


def test_huber_is_delta_times_smooth_l1():
    x, y = draws(50, 50)
    np.testing.assert_allclose(jloss.huber(x, y, delta=0.7), 0.7 * jloss.smooth_l1(x, y, beta=0.7), rtol=1e-6)


def test_huber_moves_no_more_bytes_than_optax():
    x, y = jnp.zeros(100_000), jnp.ones(100_000)

    def moved(f):
        return jax.jit(jax.value_and_grad(f)).lower(x, y).compile().cost_analysis()["bytes accessed"]

    assert moved(jloss.huber) <= moved(lambda p, t: optax.losses.huber_loss(p, t).mean())


@pytest.mark.parametrize("error", [0.0, 1e-30, 1e-4, 1e-2, 0.3, 0.4999, 0.5001, 0.999, 1.001, 5.0, 1e4, 1e30])
def test_log_cosh_is_exact(error):
    error = float(np.float32(error))
    exact = error**2 / 2 - error**4 / 12 if error < 0.02 else error + math.log1p(math.exp(-2 * error)) - math.log(2)
    np.testing.assert_allclose(jloss.log_cosh(jnp.float32(error), jnp.float32(0)), exact, rtol=4e-7, atol=1e-45)
    np.testing.assert_allclose(slope(jloss.log_cosh, error), math.tanh(error), rtol=4e-7)
    curvature = jax.grad(jax.grad(lambda e: jloss.log_cosh(e, jnp.zeros_like(e))))(jnp.float32(error))
    np.testing.assert_allclose(curvature, 1 - math.tanh(error) ** 2, rtol=1e-5, atol=1e-6)


def test_optax_and_keras_lose_small_log_cosh():
    assert float(optax.losses.log_cosh(jnp.float32(1e-4), jnp.float32(0))) == 0.0
    np.testing.assert_allclose(jloss.log_cosh(jnp.float32(1e-4), jnp.float32(0)), 5e-9, rtol=1e-5)


# ---------------------------------------------------------------- kinks, limits, bad input


def test_the_gradient_is_0_where_the_loss_is():
    for loss in (jloss.absolute_error, jloss.quantile, jloss.absolute_percentage_error, jloss.symmetric_absolute_percentage_error):
        assert slope(loss, 0.0) == 0.0, loss
    for error in (0.0, 0.25, -0.25):  # on the edge of the tube
        assert slope(jloss.epsilon_insensitive, error, epsilon=0.25) == 0.0
    assert slope(jloss.epsilon_insensitive, 0.5, epsilon=0.25) == 1.0


def test_an_infinite_error_has_a_finite_gradient():
    linear = (
        jloss.huber,
        jloss.smooth_l1,
        jloss.log_cosh,
        jloss.pseudo_huber,
        jloss.charbonnier,
        jloss.absolute_error,
        jloss.epsilon_insensitive,
    )
    bounded = (jloss.tukey_biweight, jloss.welsch, jloss.geman_mcclure, jloss.cauchy, jloss.general_robust)
    for loss, far in [(loss, 1.0) for loss in linear] + [(loss, 0.0) for loss in bounded]:
        assert slope(loss, INF) == far, loss
        assert slope(loss, -INF) == -far, loss
        assert (loss(jnp.float32(INF), jnp.float32(0)) == INF) == bool(far), loss
    assert slope(jloss.pseudo_huber, INF, delta=3.0) == 3.0
    assert slope(jloss.charbonnier, INF, epsilon=0.0) == 1.0


@pytest.mark.parametrize("error", [3e-3, 1.0, 3e3, 1e5, 1e18, 1e20, 3e38])
def test_charbonnier_keeps_its_slope_far_out(error):
    """From errors of 2e19 on the square overflowed: it was infinite, without a gradient."""
    exact = math.hypot(float(np.float32(error)), 1e-3)
    np.testing.assert_allclose(jloss.charbonnier(jnp.float32(error), jnp.float32(0)), exact, rtol=3e-7)
    np.testing.assert_allclose(slope(jloss.charbonnier, -error), -float(np.float32(error)) / exact, rtol=3e-7)


@pytest.mark.parametrize("delta", [1e-12, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("ratio", [1e-10, 1e-3, 1.0, 1e3, 1e6, 3e7, 4e7, 1e10])
def test_pseudo_huber_is_the_curve_from_end_to_end(ratio, delta):
    error, delta = float(np.float32(ratio * delta)), float(np.float32(delta))
    root = math.hypot(1, error / delta)
    value, (gradient, in_delta) = jax.value_and_grad(lambda e, d: jloss.pseudo_huber(e, jnp.zeros_like(e), delta=d), (0, 1))(
        jnp.float32(error), jnp.float32(delta)
    )
    np.testing.assert_allclose(value, error * (error / (1 + root)), rtol=1e-6, atol=1.2e-38)
    np.testing.assert_allclose(gradient, error / root, rtol=1e-6)
    np.testing.assert_allclose(in_delta, delta * ((error / delta) ** 2 / (1 + root)) ** 2 / root, rtol=2e-6, atol=1.2e-38)


def test_huber_has_the_curvature_of_its_pieces():
    second = jax.grad(jax.grad(lambda e: jloss.huber(e, jnp.zeros_like(e), delta=2.0)))
    assert [float(second(jnp.float32(e))) for e in (0.0, 1.0, 2.0, -2.0, 3.0)] == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_a_nan_stays_nan():
    for loss in (jloss.huber, jloss.quantile, jloss.epsilon_insensitive, jloss.tukey_biweight, jloss.general_robust, jloss.welsch):
        assert np.isnan(loss(jnp.float32(jnp.nan), jnp.float32(0.0))), loss


@pytest.mark.slow
def test_symmetric_percentage_of_nothing_is_0():
    value, gradients = jax.value_and_grad(jloss.symmetric_absolute_percentage_error, argnums=(0, 1))(jnp.zeros(1), jnp.zeros(1))
    assert float(value) == 0.0
    assert [float(g[0]) for g in gradients] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("loss", "options", "words"),
    [
        (jloss.smooth_l1, {"beta": 0.0}, "smooth_l1: `beta` must be greater than 0, got 0.0."),
        (jloss.huber, {"delta": 0}, "huber: `delta` must be greater than 0, got 0."),
        (jloss.cauchy, {"scale": -1.0}, "cauchy: `scale` must be greater than 0, got -1.0."),
        (jloss.quantile, {"q": 1.5}, "quantile: `q` must be between 0 and 1, got 1.5."),
        (jloss.epsilon_insensitive, {"epsilon": -0.1}, "epsilon_insensitive: `epsilon` must be 0 or more, got -0.1."),
    ],
)
def test_options_out_of_range(loss, options, words):
    with pytest.raises(ValueError, match="must be") as caught:
        loss(jnp.ones(2), jnp.ones(2), **options)
    assert str(caught.value) == words


# ---------------------------------------------------------------- quantiles


@pytest.mark.parametrize("loss", [jloss.quantile, jloss.expectile])
def test_an_array_of_levels_is_one_per_head(loss):
    x, y = draws((7, 3), (7, 3))
    levels = np.array([0.1, 0.5, 0.9], np.float32)
    together = loss(x, y, q=levels, reduction="none")
    for head, level in enumerate(levels):
        np.testing.assert_allclose(together[:, head], loss(x[:, head], y[:, head], q=float(level), reduction="none"), rtol=1e-6)
    np.testing.assert_allclose(loss(x, y, q=[0.1, 0.5, 0.9], reduction="none"), together)
    gradient = jax.grad(lambda q: loss(x, y, q=q))(jnp.asarray(levels))
    assert gradient.shape == (3,)
    with pytest.raises(ValueError, match="one for each head"):
        loss(x, y, q=np.array([0.1, 0.9], np.float32))
    with pytest.raises(ValueError, match="one for each head"):
        loss(x, y, q=np.full((7, 3), 0.5, np.float32))


def test_the_minimiser_is_the_quantile_and_the_expectile():
    targets = np.sort(draws(101, seed=3)[0])

    def descend(loss, q, steps, rate):
        gradient = jax.jit(jax.grad(lambda x: loss(jnp.full(101, x), targets, q=q)))
        x = jnp.float32(0.0)
        for _ in range(steps):
            x = x - rate * gradient(x)
        return float(x), float(gradient(x))

    x, _ = descend(jloss.quantile, 0.9, 400, 0.2)
    assert abs(x - float(np.quantile(targets, 0.9))) < 0.1
    x, gradient = descend(jloss.expectile, 0.8, 100, 0.5)
    assert abs(gradient) < 1e-5  # 0.8 of the pull is from above
    above = targets > x
    np.testing.assert_allclose(0.8 * (targets[above] - x).sum(), 0.2 * (x - targets[~above]).sum(), rtol=1e-4)


def test_pinball_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    x, y = draws(40, 40)
    for q in (0.1, 0.5, 0.95):
        np.testing.assert_allclose(jloss.quantile(x, y, q=q), metrics.mean_pinball_loss(y, x, alpha=q), rtol=1e-5)


# ---------------------------------------------------------------- robust


ERRORS = np.array([0.0, 1e-4, 1e-2, 0.3, 1.0, 3.0, 30.0, 1e4, 1e12], np.float32)


def barron(error, alpha):
    """The formula in float64, with a hundred times more digits than the float32 that is tested."""
    square = float(error) ** 2
    if alpha in (2.0, 0.0, -INF):
        return {2.0: square / 2, 0.0: math.log1p(square / 2), -INF: -math.expm1(-square / 2)}[alpha]
    width = abs(alpha - 2)
    return width / alpha * math.expm1(alpha / 2 * math.log1p(square / width))


@pytest.mark.parametrize("alpha", [2.0, 1.0, 0.0, -2.0, -INF, 1e-6, -1e-6, 2 - 1e-6, 2 + 1e-6, 1e-3, 1.5, -1e9])
def test_general_robust_keeps_its_digits_in_float32(alpha):
    alpha = float(np.float32(alpha))
    values, slopes = _robust_values(jnp.float32(alpha))
    np.testing.assert_allclose(values, [barron(e, alpha) for e in ERRORS], rtol=5e-6)
    wanted = [float(e) * (math.exp(-(float(e) ** 2) / 2) if alpha == -INF else 1.0) for e in ERRORS]
    if alpha not in (2.0, -INF):
        wanted = [float(e) * math.exp((alpha / 2 - 1) * math.log1p(float(e) ** 2 / abs(alpha - 2))) for e in ERRORS]
    np.testing.assert_allclose(slopes, wanted, rtol=5e-6, atol=1e-34)


@jax.jit
def _robust_values(alpha):
    return jax.vmap(jax.value_and_grad(lambda e: jloss.general_robust(e, jnp.zeros_like(e), alpha=alpha)))(ERRORS)


@pytest.mark.parametrize("alpha", [1.9, 1.0, 0.5, 1e-4, -1e-4, -2.0, -30.0])
def test_general_robust_can_learn_its_shape(alpha):
    with jax.enable_x64(True):
        got = _robust_slope_in_alpha(jnp.float64(alpha))
    wanted = [(barron(e, alpha + 1e-5) - barron(e, alpha - 1e-5)) / 2e-5 for e in (0.3, 1.0, 30.0)]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-8)


@jax.jit
def _robust_slope_in_alpha(alpha):
    errors = jnp.array([0.3, 1.0, 30.0], alpha.dtype)
    return jax.vmap(jax.grad(lambda a, e: jloss.general_robust(e, jnp.zeros_like(e), alpha=a)), (None, 0))(alpha, errors)


def test_the_shape_has_a_finite_gradient_at_its_limits():
    for alpha in (2.0, 0.0, -INF):
        assert np.isfinite(_robust_slope_in_alpha(jnp.float32(alpha))).all(), alpha
    # at 0 the derivative is that of log1p's neighbour: it agrees with both sides
    sides = [_robust_slope_in_alpha(jnp.float32(a)) for a in (0.0, 1e-4, -1e-4)]
    np.testing.assert_allclose(sides[0], (sides[1] + sides[2]) / 2, rtol=1e-3)


@pytest.mark.parametrize(
    ("loss", "alpha"), [(jloss.cauchy, 0.0), (jloss.geman_mcclure, -2.0), (jloss.welsch, -INF), (jloss.pseudo_huber, 1.0)]
)
def test_named_members(loss, alpha):
    x, y = draws(40, 40)
    keyword = {"delta": 1.0} if loss is jloss.pseudo_huber else {"scale": 1.7}
    scale = 1.0 if loss is jloss.pseudo_huber else 1.7
    got = jax.value_and_grad(lambda x: loss(x, y, **keyword))(x)
    wanted = jax.value_and_grad(lambda x: jloss.general_robust(x, y, alpha=alpha, scale=scale))(x)
    for g, w in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=2e-5, atol=1e-7)


# ---------------------------------------------------------------- likelihoods


def test_tweedie_agrees_with_scikit_learn_at_every_power():
    metrics = pytest.importorskip("sklearn.metrics")
    mean, amount = np.exp(draws(30, 30, scale=1.0))
    for power in (0.0, 1.0, 1.5, 2.0, 3.0):
        wanted = metrics.mean_tweedie_deviance(amount, mean, power=power)
        np.testing.assert_allclose(jloss.tweedie_deviance(mean, amount, power=power), wanted, rtol=1e-5)


@pytest.mark.slow
def test_tweedie_is_continuous_in_its_power():
    mean, amount = np.array([1.0, 2.0, 2.0, 0.5, 30.0], np.float32), np.array([1.0, 2.001, 3.0, 4.0, 0.1], np.float32)
    value = jax.jit(jax.value_and_grad(lambda p, m, t: jloss.tweedie_deviance(m, t, power=p, reduction="sum"), argnums=(0, 1, 2)))
    for power in (0.0, 1.0, 2.0):
        at, gradients = value(jnp.float32(power), mean, amount)
        for beside in (power - 1e-5, power + 1e-5):
            near, others = value(jnp.float32(beside), mean, amount)
            np.testing.assert_allclose(near, at, rtol=2e-4)
            for g, o in zip(gradients, others, strict=True):
                assert np.isfinite(g).all()
                np.testing.assert_allclose(o, g, rtol=5e-4, atol=1e-5)


@pytest.mark.slow
def test_tweedie_of_a_mean_that_is_far_off_keeps_its_gradient():
    """At a millionth of the target a mean's gradient of power 0 was 3 % off, and 0 at 1e-10 of it."""
    mean, amount = np.float32(2 * 10.0 ** np.arange(-12, 13)), np.full(25, 2, np.float32)
    step = jax.jit(jax.value_and_grad(lambda m, t, p: jloss.tweedie_deviance(m, t, power=p, reduction="sum"), argnums=(0, 1)))
    compiled = step.lower(mean, amount, 0.5).compile(AS_USERS)
    m, t = np.float64(mean), np.float64(amount)
    for p in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0):
        _, (in_mean, in_amount) = compiled(mean, amount, np.float32(p))
        np.testing.assert_allclose(in_mean, 2 * (m - t) * m**-p, rtol=1e-5)
        wanted = np.log(t / m) if p == 1 else (t ** (1 - p) - m ** (1 - p)) / (1 - p)
        np.testing.assert_allclose(in_amount, 2 * wanted, rtol=1e-5)


@pytest.mark.parametrize("power", [1.2, 1.5, 1.8, 2.5])
def test_tweedie_of_the_largest_numbers(power):
    """One over a number of 8.5e37 and more is 0 where the processor has no numbers below 1.2e-38: the deviance was NaN."""
    mean, amount = np.array([1e38, 3e38, 5e37, 2e38], np.float32), np.array([1, 2e38, 1e38, 1e38], np.float32)
    m, t = np.float64(mean), np.float64(amount)
    wanted = 2 * (t ** (2 - power) / ((1 - power) * (2 - power)) - t * m ** (1 - power) / (1 - power) + m ** (2 - power) / (2 - power))
    values = jax.jit(lambda m, t: jloss.tweedie_deviance(m, t, power=power, reduction="none"))(mean, amount)
    np.testing.assert_allclose(values, np.where(wanted < 3.4e38, wanted, INF), rtol=3e-5)
    slopes = jax.jit(jax.grad(lambda m: jloss.tweedie_deviance(m, amount, power=power, reduction="sum")))(mean)
    np.testing.assert_allclose(slopes, 2 * (m - t) * m**-power, rtol=1e-4, atol=1e-37)


@pytest.mark.slow
def test_tweedie_of_tiny_numbers_that_are_close():
    tiny = np.float32([1e-20, 1e-30])
    gradients = jax.grad(lambda m, t: jloss.tweedie_deviance(m, t, power=1.0, reduction="sum"), argnums=(0, 1))(tiny, 1.1 * tiny)
    np.testing.assert_allclose(gradients, [[-0.2, -0.2], [2 * math.log(1.1)] * 2], rtol=1e-5)


@pytest.mark.slow
def test_tweedie_with_zeros():
    value, (in_mean, in_amount) = jax.value_and_grad(jloss.tweedie_deviance, argnums=(0, 1))(jnp.float32(4.0), jnp.float32(0.0))
    np.testing.assert_allclose(value, 2 * 4.0**0.5 / 0.5, rtol=1e-6)
    np.testing.assert_allclose(in_mean, 2 * 4.0**-0.5, rtol=1e-6)
    assert float(in_amount) == 0.0
    value, gradient = jax.value_and_grad(lambda t: jloss.tweedie_deviance(jnp.float32(3.0), t, power=0.0))(jnp.float32(0.0))
    np.testing.assert_allclose([value, gradient], [9.0, -6.0], rtol=1e-6)
    value, gradient = jax.value_and_grad(lambda m: jloss.tweedie_deviance(m, jnp.float32(0.0), power=2.0))(jnp.float32(3.0))
    assert float(value) == INF
    assert float(gradient) == 0.0


def test_small_deviances_keep_their_digits():
    mean = np.float32(1000.0)
    amount = np.float32(1000.25)
    exact = 2 * (1000.25 * math.log1p(0.25 / 1000) - 0.25)
    np.testing.assert_allclose(jloss.tweedie_deviance(mean, amount, power=1.0), exact, rtol=1e-5)


@pytest.mark.parametrize("log_input", [True, False])
def test_gamma_nll_of_means_and_log_means(log_input):
    mean, amount = np.exp(draws(20, 20, scale=1.0))
    predictions = np.log(mean) if log_input else mean
    np.testing.assert_allclose(jloss.gamma_nll(predictions, amount, log_input=log_input), np.mean(np.log(mean) + amount / mean), rtol=1e-5)
    slopes = jax.grad(lambda x: jloss.gamma_nll(x, amount, log_input=log_input, reduction="sum"))(predictions)
    np.testing.assert_allclose(slopes, (1 - amount / mean) * (1.0 if log_input else 1 / mean), rtol=1e-4, atol=1e-5)


def test_poisson_factorial_is_exact_and_smooth():
    counts = jnp.array([0.0, 1.0, 2.0, 10.0])
    value = jloss.poisson_nll(jnp.zeros(4), counts, full=True, reduction="none")
    np.testing.assert_allclose(value, [1 + math.lgamma(c + 1) for c in (0, 1, 2, 10)], rtol=1e-6)
    gradient = jax.grad(lambda t: jloss.poisson_nll(jnp.zeros(4), t, full=True, reduction="sum"))(counts)
    np.testing.assert_allclose(gradient[0], -0.5772157, rtol=1e-5)


def test_gaussian_nll_below_its_floor_has_no_gradient_in_the_variance():
    def f(v):
        return jloss.gaussian_nll(jnp.float32(1.0), jnp.float32(0.0), v, epsilon=0.1)

    assert float(jax.grad(f)(jnp.float32(0.05))) == 0.0
    np.testing.assert_allclose(f(jnp.float32(0.05)), f(jnp.float32(0.1)))
    np.testing.assert_allclose(jax.grad(f)(jnp.float32(0.2)), 0.5 / 0.2 - 0.5 / 0.04, rtol=1e-5)


# ---------------------------------------------------------------- peers


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (jloss.squared_error, optax.losses.squared_error),
        (jloss.huber, optax.losses.huber_loss),
        (lambda x, y: jloss.huber(x, y, delta=0.3), lambda x, y: optax.losses.huber_loss(x, y, delta=0.3)),
        (jloss.log_cosh, optax.losses.log_cosh),
        (lambda x, y: jloss.squared_error(x, y) / 2, optax.losses.l2_loss),
    ],
)
def test_optax(ours, theirs):
    x, y = draws(64, 64)
    got = jax.value_and_grad(ours, argnums=(0, 1))(x, y)
    wanted = jax.value_and_grad(lambda x, y: jnp.mean(theirs(x, y)), argnums=(0, 1))(x, y)
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6), got, wanted)


@pytest.mark.slow
def test_torch():
    functional = pytest.importorskip("torch.nn.functional")
    x, y = draws(64, 64)
    agree(jloss.absolute_error, functional.l1_loss, x, y)
    agree(jloss.squared_error, functional.mse_loss, x, y)
    agree(lambda x, y: jloss.smooth_l1(x, y, beta=0.5), lambda x, y: functional.smooth_l1_loss(x, y, beta=0.5), x, y)
    agree(lambda x, y: jloss.huber(x, y, delta=0.5), lambda x, y: functional.huber_loss(x, y, delta=0.5), x, y)
    rate, count = np.exp(x), np.abs(y)
    agree(jloss.poisson_nll, functional.poisson_nll_loss, x, count, rtol=1e-4)
    agree(
        lambda r, t: jloss.poisson_nll(r, t, log_input=False), lambda r, t: functional.poisson_nll_loss(r, t, log_input=False), rate, count
    )
    agree(
        lambda x, y, v: jloss.gaussian_nll(x, y, v, full=True), lambda x, y, v: functional.gaussian_nll_loss(x, y, v, full=True), x, y, rate
    )


def test_where_torch_differs():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    zero = torch.zeros(1)
    stirling = functional.poisson_nll_loss(zero, torch.tensor([2.0]), full=True).item()
    assert abs(stirling - 1.6518) < 1e-4
    assert abs(float(jloss.poisson_nll(jnp.zeros(1), jnp.array([2.0]), full=True)) - 1.6931) < 1e-4
    count = torch.zeros(1, requires_grad=True)
    functional.poisson_nll_loss(zero, count, full=True).backward()
    assert torch.isnan(count.grad).all()
    variance = torch.tensor([0.05], requires_grad=True)  # straight through the floor
    functional.gaussian_nll_loss(torch.ones(1), zero, variance, eps=0.1).backward()
    np.testing.assert_allclose(variance.grad, 0.5 / 0.1 - 0.5 / 0.01, rtol=1e-5)


def test_charbonnier_without_a_width_is_the_absolute_error():
    errors = jnp.array([-2.0, 0.0, 3.0])
    value, gradient = jax.value_and_grad(lambda e: jloss.charbonnier(e, jnp.zeros(3), epsilon=0.0, reduction="sum"))(errors)
    assert value == 5
    np.testing.assert_array_equal(gradient, [-1, 0, 1])


EDGES = {  # exactly at its threshold a loss belongs to the side that its docstring names
    "huber": (lambda e: jloss.huber(e, 0.0 * e, delta=2.0), 2.0, 2.0, 2.0),
    "smooth_l1": (lambda e: jloss.smooth_l1(e, 0.0 * e, beta=2.0), 2.0, 1.0, 1.0),
    "epsilon_insensitive": (lambda e: jloss.epsilon_insensitive(e, 0.0 * e, epsilon=0.5), 0.5, 0.0, 0.0),
    "squared_epsilon_insensitive": (lambda e: jloss.squared_epsilon_insensitive(e, 0.0 * e, epsilon=0.5), 0.5, 0.0, 0.0),
    "tukey_biweight": (lambda e: jloss.tukey_biweight(e, 0.0 * e, scale=2.0), 2.0, 4 / 6, 0.0),
    "absolute_percentage_error": (lambda e: jloss.absolute_percentage_error(e, jnp.float32(0.5), epsilon=0.5), 1.0, 1.0, 2.0),
    "hinge": (lambda s: jloss.hinge(s, jnp.float32(1), margin=0.5), 0.5, 0.0, 0.0),
    "hinge_embedding": (lambda s: jloss.hinge_embedding(s, jnp.float32(-1), margin=0.5), 0.5, 0.0, 0.0),
}


@pytest.mark.parametrize("name", EDGES)
def test_exactly_at_a_threshold(name):
    loss, at, wanted, slope = EDGES[name]
    value, gradient = jax.value_and_grad(loss)(jnp.float32(at))
    np.testing.assert_allclose([value, gradient], [wanted, slope], rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 4.685])
def test_tukey_lets_go_of_all_beyond_its_scale(scale):
    for error in (scale, 1.1 * scale, -1.19 * scale, 3 * scale):
        np.testing.assert_allclose(jloss.tukey_biweight(error, 0.0, scale=scale), scale**2 / 6, rtol=1e-6)
        assert slope(jloss.tukey_biweight, error, scale=scale) == 0


def test_pseudo_huber_of_an_error_whose_square_overflows_is_its_line():
    """It was 0, without a gradient, from 2e19 deltas on; of a delta of 1e-12 the gradient was twice that from 1e15 deltas on."""
    for error, delta in ((1e20, 1.0), (-1e30, 1e-3), (1e3, 1e-12), (3e9, 1.0)):
        value, slopes = jax.value_and_grad(jloss.pseudo_huber, (0, 1))(np.float32(error), np.float32(0), delta=delta)
        np.testing.assert_allclose(value, delta * (abs(error) - delta), rtol=1e-6)
        np.testing.assert_allclose(slopes, delta * np.sign(error) * np.array([1, -1]), rtol=1e-6)
    slope = jax.grad(lambda delta: jloss.pseudo_huber(np.float32(1e20), np.float32(0), delta=delta))(jnp.float32(2))
    np.testing.assert_allclose(slope, 1e20, rtol=1e-6)
