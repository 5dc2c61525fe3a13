"""Elementwise regression losses of (predictions, targets); ``e`` is their difference.

The losses that stop listening to outliers are in `jloss.regression.robust`, the likelihoods in `jloss.probabilistic`.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import hint, select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import absolute, positive_part, safe_sqrt
from jloss.numerics._special import exp_remainder
from jloss.numerics._special import log_cosh as _log_cosh


@loss("(),()->()", "real real")
def absolute_error(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Distance on the line (L1, MAE): its minimiser is the median, and every error pulls with the same force.

    .. math:: \ell = |\text{predictions} - \text{targets}|

    The gradient is the sign of the error, 0 at a match. It does not shrink near the target; `huber` and `log_cosh` do.

    Args:
        predictions: Estimates.
        targets: True values.

    >>> absolute_error(jnp.ones((2, 2)), jnp.array([[0.0, 1.0], [2.0, 3.0]]))
    Array(1., dtype=float32)

    References:
        Willmott and Matsuura, Advantages of the mean absolute error over the root mean square error, 2005. https://doi.org/10.3354/cr030079
    """
    return absolute(predictions - targets)


@loss("(),()->()", "real real")
def squared_error(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared difference (L2, MSE): its minimiser is the mean, and an outlier pulls in proportion to its error.

    .. math:: \ell = (\text{predictions} - \text{targets})^2

    There is no factor one half; the quadratic cost of textbooks is half of this. With outliers, see `huber`.

    Args:
        predictions: Estimates.
        targets: True values.

    >>> squared_error(jnp.ones((2, 2)), jnp.array([[0.0, 1.0], [2.0, 3.0]]))
    Array(1.5, dtype=float32)

    References:
        Stigler, Gauss and the Invention of Least Squares, 1981. https://doi.org/10.1214/aos/1176345451
    """
    return jnp.square(predictions - targets)


@loss("(),()->()", "real real", delta="positive")
def huber(predictions: Array, targets: Array, *, delta: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared error near zero, absolute error beyond `delta`.

    .. math::
        \ell = \begin{cases} e^2/2 & |e| \le \delta \\ \delta\,(|e| - \delta/2) & |e| > \delta \end{cases}
        \qquad e = \text{predictions} - \text{targets}

    Its gradient is the error clipped to ``[-delta, delta]``, even if the error is infinite, so one outlier cannot dominate a
    batch. For a smooth alternative see `log_cosh`.

    Args:
        predictions: Estimates.
        targets: True values.
        delta: Where the parabola meets the lines; positive.

    >>> huber(jnp.array([0.5, 3.0]), jnp.zeros(2), reduction="none")
    Array([0.125, 2.5  ], dtype=float32)

    References:
        Huber, Robust Estimation of a Location Parameter, 1964. https://doi.org/10.1214/aoms/1177703732
    """
    return _huber(predictions - targets, delta)


@loss("(),()->()", "real real", beta="positive")
def smooth_l1(predictions: Array, targets: Array, *, beta: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Absolute error with a rounded corner of width `beta`; `huber` divided by its `delta`.

    .. math::
        \ell = \begin{cases} e^2/(2\beta) & |e| \le \beta \\ |e| - \beta/2 & |e| > \beta \end{cases}
        \qquad e = \text{predictions} - \text{targets}

    Its gradient is ``e / beta`` clipped to [-1, 1], so `beta` moves the corner and not the slope. As `beta` goes to 0 it
    becomes `absolute_error`; use that, `beta` must be positive.

    Args:
        predictions: Estimates.
        targets: True values.
        beta: Half the width of the parabola; positive.

    >>> smooth_l1(jnp.array([0.8, 0.1]), jnp.ones(2))
    Array(0.2125, dtype=float32)

    References:
        Girshick, Fast R-CNN, 2015. https://arxiv.org/abs/1504.08083
    """
    return _huber(predictions - targets, beta) / beta


@loss("(),()->()", "real real", delta="positive")
def pseudo_huber(predictions: Array, targets: Array, *, delta: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""A hyperbola that follows `huber`: half the squared error near zero, slope `delta` far away, smooth throughout.

    .. math::
        \ell = \delta^2 \left(\sqrt{1 + (e/\delta)^2} - 1\right) \qquad e = \text{predictions} - \text{targets}

    All derivatives exist. It is evaluated without the cancellation of the formula, so small errors keep their digits. An infinite
    error has the gradient `delta`, as in `huber`. Infinite where a square overflows first: errors of 2e19 with a `delta` of 6e11
    and more in float32.

    Args:
        predictions: Estimates.
        targets: True values.
        delta: The slope far away, and the error at which it bends; positive.

    >>> pseudo_huber(jnp.array([1e-3, 3.0]), jnp.zeros(2), reduction="none")
    Array([4.9999994e-07, 2.1622777e+00], dtype=float32)

    References:
        Charbonnier et al., Deterministic edge-preserving regularization in computed imaging, 1997. https://doi.org/10.1109/83.551699
    """
    error = predictions - targets
    straight = jnp.abs(error) > _straight_from(delta, error)
    near = select(straight, 0.0, error)
    root = jnp.sqrt(1 + jnp.square(near / delta))
    return select(straight, delta * jnp.abs(error), jnp.square(near) / (1 + root))


@loss("(),()->()", "real real", epsilon="nonnegative")
def charbonnier(predictions: Array, targets: Array, *, epsilon: float = 1e-3, **reduce: Unpack[Reduce]) -> Array:
    r"""Absolute error, differentiable at zero; usual in image restoration.

    .. math:: \ell = \sqrt{(\text{predictions} - \text{targets})^2 + \epsilon^2}

    At a match the value is `epsilon`, not 0, and the gradient 0; `pseudo_huber` is the same curve scaled and moved to 0. The gradient
    of an infinite error is its sign. Infinite, with gradient 0, for an `epsilon` whose square overflows: from 2e19 on in float32.

    Args:
        predictions: Estimates.
        targets: True values.
        epsilon: The value at a match; errors well above it count as absolute errors. 0 is `absolute_error`.

    >>> charbonnier(jnp.array([0.0, 3.0]), jnp.zeros(2), epsilon=4.0, reduction="none")
    Array([4., 5.], dtype=float32)

    References:
        Lai et al., Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution, 2017. https://arxiv.org/abs/1704.03915
    """
    error = predictions - targets
    straight = jnp.abs(error) > _straight_from(epsilon, error)
    curved = safe_sqrt(jnp.square(select(straight, 0.0, error)) + jnp.square(epsilon))
    return select(straight, jnp.abs(error), curved)


@loss("(),()->()", "real real")
@hint(late=False, blocks=1)
def log_cosh(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Half the squared error near zero, absolute error minus log 2 far away, smooth throughout.

    .. math:: \ell = \log \cosh(\text{predictions} - \text{targets})

    Its gradient is the hyperbolic tangent of the error. Accurate for all errors: optax and Keras subtract log 2 from a number
    near log 2, which leaves 0 of the 5e-9 that the loss is at an error of 1e-4.

    Args:
        predictions: Estimates.
        targets: True values.

    >>> log_cosh(jnp.array([1e-4, 1e4]), jnp.zeros(2), reduction="none")
    Array([5.000000e-09, 9.999307e+03], dtype=float32)

    References:
        Green, Bayesian reconstructions from emission tomography data, 1990. https://doi.org/10.1109/42.52985
    """
    return _log_cosh(predictions - targets)


@loss("(),()->()", "real real", q="unit")
def quantile(predictions: Array, targets: Array, *, q: float | Array = 0.5, **reduce: Unpack[Reduce]) -> Array:
    r"""Pinball loss: its minimiser is the `q` quantile of the targets.

    .. math:: \ell = \max(q\,d,\; (q - 1)\,d) \qquad d = \text{targets} - \text{predictions}

    At ``q=0.5`` it is half the absolute error. The gradient at a match is 0. Levels fitted side by side may cross.

    Args:
        predictions: Estimates of the quantile.
        targets: True values.
        q: The level, between 0 and 1, or an array of levels: one for each head, which are the last batch axis of both inputs.

    >>> quantile(jnp.zeros(2), jnp.array([1.0, -1.0]), q=0.9, reduction="none")
    Array([0.9      , 0.10000002], dtype=float32)
    >>> quantile(jnp.zeros((1, 3)), jnp.ones((1, 3)), q=jnp.array([0.1, 0.5, 0.9]), reduction="none")
    Array([[0.1, 0.5, 0.9]], dtype=float32)

    References:
        Koenker and Bassett, Regression Quantiles, 1978. https://doi.org/10.2307/1913643
    """
    above = targets - predictions
    level = _per_head("quantile", q, above)
    return above * select(above > 0, level, select(above < 0, level - 1, 0.0))


@loss("(),()->()", "real real", q="unit")
def expectile(predictions: Array, targets: Array, *, q: float | Array = 0.5, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared error weighted by its sign: the smooth companion of `quantile`, whose minimiser is the `q` expectile.

    .. math:: \ell = |q - [d < 0]|\; d^2 \qquad d = \text{targets} - \text{predictions}

    At ``q=0.5`` it is half the squared error. The gradient is continuous, 0 at a match.

    Args:
        predictions: Estimates of the expectile.
        targets: True values.
        q: The level, between 0 and 1, or an array of levels: one for each head, which are the last batch axis of both inputs.

    >>> expectile(jnp.zeros(2), jnp.array([2.0, -2.0]), q=0.75, reduction="none")
    Array([3., 1.], dtype=float32)

    References:
        Newey and Powell, Asymmetric Least Squares Estimation and Testing, 1987. https://doi.org/10.2307/1911031
    """
    above = targets - predictions
    level = _per_head("expectile", q, above)
    return jnp.square(above) * select(above < 0, 1 - level, level)


@loss("(),()->()", "above_minus_one above_minus_one")
def squared_log_error(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared error of ``log(1 + x)`` (MSLE): for quantities that grow by factors, where ratios matter.

    .. math:: \ell = \bigl(\log(1 + \text{predictions}) - \log(1 + \text{targets})\bigr)^2

    It charges more for estimates that are too low. Values of -1 and below give inf or NaN; Keras clips them, without gradient.

    Args:
        predictions: Estimates; greater than -1.
        targets: True values; greater than -1.

    >>> squared_log_error(jnp.array([1.0, 3.0]), jnp.array([3.0, 1.0]))
    Array(0.48045298, dtype=float32)

    References:
        scikit-learn developers, Mean squared logarithmic error, 2011. https://scikit-learn.org/stable/modules/model_evaluation.html
    """
    return jnp.square(jnp.log1p(predictions) - jnp.log1p(targets))


@loss("(),()->()", "real real", epsilon="positive")
def absolute_percentage_error(predictions: Array, targets: Array, *, epsilon: float = 1e-7, **reduce: Unpack[Reduce]) -> Array:
    r"""Error relative to the target (MAPE), as a fraction and not in percent.

    .. math:: \ell = \frac{|\text{predictions} - \text{targets}|}{\max(|\text{targets}|, \epsilon)}

    It favours estimates that are too low, and explodes where targets are near 0; `symmetric_absolute_percentage_error` is
    bounded. Keras gives 100 times this. The gradient at a match is 0.

    Args:
        predictions: Estimates.
        targets: True values.
        epsilon: The floor of the denominator.

    >>> absolute_percentage_error(jnp.array([90.0, 3.0]), jnp.array([100.0, 2.0]), reduction="none")
    Array([0.1, 0.5], dtype=float32)

    References:
        Hyndman and Koehler, Another look at measures of forecast accuracy, 2006. https://doi.org/10.1016/j.ijforecast.2006.03.001
    """
    return absolute(predictions - targets) / _floor(absolute(targets), epsilon)


@loss("(),()->()", "real real", epsilon="positive")
def symmetric_absolute_percentage_error(predictions: Array, targets: Array, *, epsilon: float = 1e-7, **reduce: Unpack[Reduce]) -> Array:
    r"""Error relative to the mean size of prediction and target (sMAPE), between 0 and 2.

    .. math:: \ell = \frac{|p - t|}{\max\bigl((|p| + |t|)/2,\ \epsilon\bigr)} \qquad p = \text{predictions},\ t = \text{targets}

    0 where both are 0. It is 2 for every estimate of the wrong sign, so the gradient vanishes there.

    Args:
        predictions: Estimates, p.
        targets: True values, t.
        epsilon: The floor of the denominator.

    >>> symmetric_absolute_percentage_error(jnp.array([3.0, 0.0, 1.0]), jnp.array([1.0, 0.0, -5.0]), reduction="none")
    Array([1., 0., 2.], dtype=float32)

    References:
        Makridakis, Accuracy measures: theoretical and practical concerns, 1993. https://doi.org/10.1016/0169-2070(93)90079-3
    """
    return absolute(predictions - targets) / _floor((absolute(predictions) + absolute(targets)) / 2, epsilon)


@loss("(),()->()", "real real", epsilon="nonnegative")
def epsilon_insensitive(predictions: Array, targets: Array, *, epsilon: float = 0.1, **reduce: Unpack[Reduce]) -> Array:
    r"""Absolute error that forgives `epsilon`: the loss of support vector regression.

    .. math:: \ell = \max(0,\ |\text{predictions} - \text{targets}| - \epsilon)

    The gradient is 0 within the tube and on its edge, the sign of the error outside.

    Args:
        predictions: Estimates.
        targets: True values.
        epsilon: The error that costs nothing.

    >>> epsilon_insensitive(jnp.array([0.5, 2.0]), jnp.zeros(2), epsilon=1.0, reduction="none")
    Array([0., 1.], dtype=float32)

    References:
        Vapnik, The Nature of Statistical Learning Theory, 1995. https://doi.org/10.1007/978-1-4757-2440-0
    """
    return positive_part(absolute(predictions - targets) - epsilon)


@loss("(),()->()", "real real", epsilon="nonnegative")
def squared_epsilon_insensitive(predictions: Array, targets: Array, *, epsilon: float = 0.1, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared error of what exceeds a tolerance of `epsilon`; the smooth form of `epsilon_insensitive`.

    .. math:: \ell = \max(0,\ |\text{predictions} - \text{targets}| - \epsilon)^2

    The gradient is continuous: 0 within the tube and on its edge.

    Args:
        predictions: Estimates.
        targets: True values.
        epsilon: The error that costs nothing.

    >>> squared_epsilon_insensitive(jnp.array([0.5, 3.0]), jnp.zeros(2), epsilon=1.0, reduction="none")
    Array([0., 4.], dtype=float32)

    References:
        Ho and Lin, Large-scale Linear Support Vector Regression, 2012. https://jmlr.org/papers/v13/ho12a.html
    """
    return jnp.square(positive_part(absolute(predictions - targets) - epsilon))


@loss("(),()->()", "real real")
def linex(predictions: Array, targets: Array, *, a: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Exponential on one side, linear on the other: for errors that are much worse in one direction.

    .. math:: \ell = \exp(a e) - a e - 1 \qquad e = \text{predictions} - \text{targets}

    For ``a > 0`` overestimates cost exponentially, for ``a < 0`` underestimates. Near 0 it is ``(a e)**2 / 2``, accurate to the
    last digit. It overflows to inf at ``a * e`` of about 88 in float32; scale your targets.

    Args:
        predictions: Estimates.
        targets: True values.
        a: The asymmetry; its sign says which side is worse. 0 gives no loss at all.

    >>> linex(jnp.array([2.0, -2.0]), jnp.zeros(2), reduction="none")
    Array([4.389056 , 1.1353353], dtype=float32)

    References:
        Zellner, Bayesian Estimation and Prediction Using Asymmetric Loss Functions, 1986. https://doi.org/10.1080/01621459.1986.10478289
    """
    return exp_remainder(a * (predictions - targets))


@loss("(),()->()", "real real")
def bias_error(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The signed error: tells by how much estimates are too high on average. A diagnostic, not an objective.

    .. math:: \ell = \text{predictions} - \text{targets}

    Errors cancel, and minimising it drives predictions to minus infinity: the gradient is 1 everywhere.

    Args:
        predictions: Estimates.
        targets: True values.

    >>> bias_error(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0]))
    Array(-0.5, dtype=float32)

    References:
        Willmott, Some Comments on the Evaluation of Model Performance, 1982. https://doi.org/10.1175/1520-0477(1982)063%3C1309:SCOTEO%3E2.0.CO;2
    """
    return predictions - targets


def _huber(error: Array, delta: float) -> Array:
    """The parabola sees no error beyond `delta`, not even an infinite one; this form also moves the fewest bytes."""
    small = jnp.abs(error) <= delta
    near = select(small, error, 0.0)
    return select(small, 0.5 * jnp.square(near), delta * (jnp.abs(error) - 0.5 * delta))


def _straight_from(width: float | Array, error: Array) -> Array:
    """The error from which on a hyperbola of this width is a line to the last digit; farther out its squares would overflow."""
    return jnp.asarray(width) * (4 / float(jnp.finfo(error.dtype).eps))


def _per_head(name: str, level: float | Array, errors: Array) -> Array:
    """One level for all, or one for each head of the last axis."""
    level = jnp.asarray(level)
    if level.ndim and (level.ndim > 1 or not errors.ndim or level.shape != errors.shape[-1:]):
        raise ValueError(f"{name}: `q` has shape {level.shape}; give one level, or one for each head of the last axis of {errors.shape}.")
    return level.reshape((1,) * (errors.ndim - 1) + level.shape) if level.ndim else level


def _floor(x: Array, low: float) -> Array:
    """``max(x, low)``, whose gradient is not split at a tie."""
    return select(x > low, x, low)
