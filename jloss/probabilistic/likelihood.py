"""Elementwise negative log-likelihoods and deviances of (predictions, targets): for counts, spreads, and positive amounts."""

import math
from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint, select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import xlogy
from jloss.numerics._special import power_divergence_at_zero, power_divergence_near, scaled_expm1
from jloss.numerics.guards import exp_plus


@loss("(),()->()", "real nonnegative", epsilon="nonnegative")
def poisson_nll(
    predictions: Array, targets: Array, *, log_input: bool = True, full: bool = False, epsilon: float = 1e-8, **reduce: Unpack[Reduce]
) -> Array:
    r"""Negative log-likelihood of counts under a Poisson rate.

    .. math::
        \ell = \begin{cases}
            \exp(\text{predictions}) - \text{targets} \cdot \text{predictions} & \text{log\_input} \\
            \text{predictions} - \text{targets} \cdot \log(\text{predictions} + \epsilon) & \text{otherwise}
        \end{cases} \quad \bigl(+ \log(\text{targets}!)\ \text{if full}\bigr)

    Prefer the log-rate: its gradient is ``exp(predictions) - targets``, and no rate can be negative. The factorial is the exact
    gammaln and smooth from 0 on; torch's `full` is Stirling's approximation, 2 % off at a count of 2, with a NaN gradient at 0.

    Args:
        predictions: Logarithms of rates, or rates, which must be positive then (others give NaN).
        targets: Counts; 0 or more.
        log_input: Whether predictions are logarithms of rates.
        full: Whether to add the logarithm of the factorial, which does not depend on the predictions.
        epsilon: Added to rates in front of the logarithm; not used with `log_input`.

    >>> poisson_nll(jnp.array([0.0, jnp.log(3.0)]), jnp.array([2, 3]), full=True, reduction="none")
    Array([1.6931472, 1.4959226], dtype=float32)

    References:
        Cameron and Trivedi, Regression Analysis of Count Data, 2013. https://doi.org/10.1017/CBO9781139013567
    """
    nll = exp_plus(predictions, -targets * predictions) if log_input else predictions - xlogy(targets, predictions + epsilon)
    return nll + jax.scipy.special.gammaln(targets + 1) if full else nll


@loss("(),(),()->()", "real real positive", epsilon="positive")
@hint(blocks=1)
def gaussian_nll(
    predictions: Array, targets: Array, variances: Array, *, full: bool = False, epsilon: float = 1e-6, **reduce: Unpack[Reduce]
) -> Array:
    r"""Negative log-likelihood under a Gaussian whose variance is predicted, too.

    .. math::
        \ell = \tfrac12 \left(\log v + \frac{(\text{predictions} - \text{targets})^2}{v}\right) \qquad v = \max(\text{variances}, \epsilon)
        \qquad \bigl(+ \tfrac12 \log 2\pi\ \text{if full}\bigr)

    The gradient is that of this formula, so a variance at or below the floor gets 0 and stays there: predict
    ``softplus(x) + epsilon`` or ``exp(x)``. torch passes the gradient at the floor straight through to the variance below it.

    Args:
        predictions: Means.
        targets: True values.
        variances: Variances, not standard deviations; positive.
        full: Whether to add the constant.
        epsilon: The floor of the variances.

    >>> gaussian_nll(jnp.array([1.0, 3.0]), jnp.zeros(2), jnp.array([1.0, 9.0]), reduction="none")
    Array([0.5      , 1.5986123], dtype=float32)

    References:
        Nix and Weigend, Estimating the mean and variance of the target probability distribution, 1994. https://doi.org/10.1109/ICNN.1994.374138
    """
    variances = select(variances <= epsilon, epsilon, variances)
    nll = 0.5 * (jnp.log(variances) + jnp.square(predictions - targets) / variances)
    return nll + 0.5 * math.log(2 * math.pi) if full else nll


@loss("(),()->()", "real positive")
def gamma_nll(predictions: Array, targets: Array, *, log_input: bool = True, **reduce: Unpack[Reduce]) -> Array:
    r"""Negative log-likelihood of positive amounts whose spread grows with their mean (claims, durations, energies).

    .. math:: \ell = \log \mu + \frac{\text{targets}}{\mu} \qquad \mu = \exp(\text{predictions})\ \text{or}\ \text{predictions}

    Up to the shape of the Gamma distribution, which scales it, and terms without the mean. Only ratios matter: the gradient in
    the log-mean is ``1 - targets / mean``. At a match it is ``log(targets) + 1``; for 0 there take `tweedie_deviance` of power 2.

    Args:
        predictions: Logarithms of means, or means, which must be positive then (others give NaN).
        targets: True amounts; positive.
        log_input: Whether predictions are logarithms of means.

    >>> gamma_nll(jnp.array([0.0, jnp.log(2.0)]), jnp.array([1.0, 4.0]), reduction="none")
    Array([1.       , 2.6931472], dtype=float32)

    References:
        McCullagh and Nelder, Generalized Linear Models, 1989. https://doi.org/10.1201/9780203753736
    """
    return exp_plus(-predictions, predictions, targets) if log_input else jnp.log(predictions) + targets / predictions


@loss("(),()->()", "positive nonnegative")
def tweedie_deviance(predictions: Array, targets: Array, *, power: float = 1.5, **reduce: Unpack[Reduce]) -> Array:
    r"""Deviance of a variance that grows as ``mean**power``: for amounts that are often exactly 0, such as rain or claims.

    .. math::
        \ell = 2 \left(\frac{t^{2-p}}{(1-p)(2-p)} - \frac{t\,\mu^{1-p}}{1-p} + \frac{\mu^{2-p}}{2-p}\right)
        \qquad \mu = \text{predictions},\ t = \text{targets},\ p = \text{power}

    Power 0 is the squared error, 1 Poisson's deviance, 2 Gamma's, 3 the inverse Gaussian's; 0, 1 and 2 are limits, taken
    exactly, and the derivative in `power` (it can be learned) is finite there, too. 0 at a match. A target of 0 costs inf from
    power 2 on; its own gradient at 0 is given as 0 where it is infinite, from power 1 on.

    Args:
        predictions: Means; positive. With a log link give ``jnp.exp(x)``.
        targets: True amounts; 0 or more.
        power: How the variance grows with the mean; between 1 and 2 for amounts with zeros. No distribution has 0 < power < 1.

    >>> tweedie_deviance(jnp.array([1.0, 1.0, 4.0]), jnp.array([1.0, 0.0, 1.0]), reduction="none")
    Array([0., 4., 2.], dtype=float32)

    References:
        Jørgensen, Exponential Dispersion Models, 1987. https://doi.org/10.1111/j.2517-6161.1987.tb01685.x
    """
    order = 2 - jnp.asarray(power)
    low, inside = order < 0.5, (predictions > 0) & (targets > 0)
    x, y, alpha = select(low, predictions, targets), select(low, targets, predictions), select(low, 1 - order, order)
    rest = select(low, order, 1 - order)
    near = inside & (jnp.abs(targets - predictions) < 0.125 * predictions)
    far = inside & ~near
    size = lax.stop_gradient(select(near, y, 1.0))
    scale = 1 / size
    close = size * power_divergence_near(select(near, x - y, 0.0) * scale, select(near, y, 1.0) * scale, alpha)
    divergence = select(far, 0.0, select(near, close, power_divergence_at_zero(x, y, alpha, rest)))
    beside = divergence * select(far | (divergence == jnp.inf), 1.0, jnp.power(select(far, 1.0, predictions), 1 - power))
    return 2 * select(far, _deviance_of_far(select(far, predictions, 1.0), select(far, targets, 2.0), order), beside)


def _deviance_of_far(mean: Array, target: Array, order: Array) -> Array:
    """``(t**a - a t m**(a-1) + (a-1) m**a) / (a (a-1))``, with its limits at ``a = 0`` and 1, of numbers that are not close.

    No power of the target is a function of the mean: in ``(t**a m**(1-a) + ...) * m**(a-1)`` the derivatives of two such would have to
    cancel, to the last digit where a mean is a millionth of its target.
    """
    low = order < 0.5
    size = select(low, jnp.minimum(mean, target), jnp.maximum(mean, target))  # by which both are divided, so that no power overflows
    scale = 1 / lax.stop_gradient(jnp.minimum(size, jnp.full_like(size, float(jnp.finfo(size.dtype).max) / 8)))
    t, m = target * scale, mean * scale
    c = select(low, order, order - 1)  # that of both exponents which is nearer to 0
    of_t, of_m = scaled_expm1(jnp.log(t), c), scaled_expm1(jnp.log(m), c)
    gap = of_t - of_m
    rest = t - m + c * (t * of_t - m * of_m)
    above = t * gap - rest / select(low, 1.0, order)
    ratio = select(low, t, 1.0) / select(low, m, 1.0)  # its derivative overflows, also where it is not used
    below = (1 + c * of_t - ratio * (1 + c * of_m)) / select(low, order - 1, 1.0) - gap
    return jnp.power(scale, -order) * select(low, below, above)
