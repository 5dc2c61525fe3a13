"""Elementwise regression losses that stop listening to outliers: one family with a shape, its named members, and Tukey's.

``e`` is predictions - targets. The gradient grows like the error near 0 and falls back towards 0 far away, so these losses are
not convex: start from a fair guess, or from `jloss.huber`, which is convex.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import clipped
from jloss.numerics._special import scaled_expm1, scaled_log1p


@loss("(),()->()", "real real", scale="positive")
def general_robust(predictions: Array, targets: Array, *, alpha: float = 1.0, scale: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""One loss whose `alpha` says how much outliers matter: 2 squared error, 1 pseudo-Huber, 0 Cauchy, minus infinity Welsch.

    .. math::
        \ell = \frac{|\alpha - 2|}{\alpha} \left(\left(\frac{(e/\text{scale})^2}{|\alpha - 2|} + 1\right)^{\alpha/2} - 1\right)
        \qquad e = \text{predictions} - \text{targets}

    The limits at ``alpha`` 2, 0 and -inf are included, and float32 keeps its digits beside them. Near 0 every member is
    ``(e / scale)**2 / 2``. It is differentiable in `alpha` and `scale`, so both can be learned together with a term that keeps
    them from growing (the partition function of the paper is not part of this). The derivative in `alpha` is infinite at 2,
    slowly: the one of the nearest other number is given. Errors beyond 1e18 scales (in float32) count as that.

    Args:
        predictions: Estimates.
        targets: True values.
        alpha: The shape: any number, -inf included; 2 and less for robustness.
        scale: The error at which it begins to bend; positive.

    >>> error = jnp.array([0.1, 1.0, 10.0])
    >>> general_robust(error, jnp.zeros(3), alpha=0.0, reduction="none")
    Array([0.00498754, 0.4054651 , 3.9318256 ], dtype=float32)

    References:
        Barron, A General and Adaptive Robust Loss Function, 2019. https://arxiv.org/abs/1701.03077
    """
    return _barron((predictions - targets) / scale, jnp.asarray(alpha))


@loss("(),()->()", "real real", scale="positive")
def cauchy(predictions: Array, targets: Array, *, scale: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Logarithmic far away (Lorentzian): outliers pull ever less, but never quite stop.

    .. math:: \ell = \log\left(1 + \tfrac12 (e/\text{scale})^2\right) \qquad e = \text{predictions} - \text{targets}

    It is `general_robust` with ``alpha=0``. Elsewhere "Cauchy" may be ``scale**2`` times this, or lack the one half.

    Args:
        predictions: Estimates.
        targets: True values.
        scale: The error at which it begins to bend; positive.

    >>> cauchy(jnp.array([1.0, 100.0]), jnp.zeros(2), reduction="none")
    Array([0.40546513, 8.517393  ], dtype=float32)

    References:
        Black and Anandan, The Robust Estimation of Multiple Motions, 1996. https://doi.org/10.1006/cviu.1996.0006
    """
    return _towards_welsch(_square((predictions - targets) / scale), 0.5)


@loss("(),()->()", "real real", scale="positive")
def geman_mcclure(predictions: Array, targets: Array, *, scale: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Bounded by 2: the pull of an outlier falls off with the cube of its error.

    .. math:: \ell = \frac{2\,(e/\text{scale})^2}{(e/\text{scale})^2 + 4} \qquad e = \text{predictions} - \text{targets}

    It is `general_robust` with ``alpha=-2``. Elsewhere it may be half of this at twice the scale.

    Args:
        predictions: Estimates.
        targets: True values.
        scale: The error at which it begins to bend; positive.

    >>> geman_mcclure(jnp.array([2.0, 100.0]), jnp.zeros(2), reduction="none")
    Array([1.       , 1.9992003], dtype=float32)

    References:
        Geman and McClure, Bayesian image analysis: an application to single photon emission tomography, 1985.
        https://dam.brown.edu/people/documents/bayesian-image-analysis-an-application-to-single-photon-emission-tomography.pdf
    """
    return _towards_welsch(_square((predictions - targets) / scale), 0.25)


@loss("(),()->()", "real real", scale="positive")
def welsch(predictions: Array, targets: Array, *, scale: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Bounded by 1 (Leclerc, correntropy): beyond a few scales an outlier has no pull at all.

    .. math:: \ell = 1 - \exp\left(-\tfrac12 (e/\text{scale})^2\right) \qquad e = \text{predictions} - \text{targets}

    It is `general_robust` with ``alpha=-inf``. Its gradient underflows to 0 some 14 scales away, so a prediction that far off
    does not learn.

    Args:
        predictions: Estimates.
        targets: True values.
        scale: The error at which it begins to bend; positive.

    >>> welsch(jnp.array([1.0, 100.0]), jnp.zeros(2), reduction="none")
    Array([0.39346933, 1.        ], dtype=float32)

    References:
        Dennis and Welsch, Techniques for nonlinear least squares and robust regression, 1978. https://doi.org/10.1080/03610917808812083
    """
    return _towards_welsch(_square((predictions - targets) / scale), 0.0)


@loss("(),()->()", "real real", scale="positive")
def tukey_biweight(predictions: Array, targets: Array, *, scale: float = 4.685, **reduce: Unpack[Reduce]) -> Array:
    r"""Half the squared error near zero, constant beyond `scale`: outliers are ignored entirely.

    .. math::
        \ell = \frac{\text{scale}^2}{6} \left(1 - \bigl(1 - \min(1, |e|/\text{scale})^2\bigr)^3\right)
        \qquad e = \text{predictions} - \text{targets}

    The gradient is exactly 0 from `scale` on, continuously. The default is 95 % as efficient as the squared error on
    Gaussian noise of standard deviation 1: divide errors by their spread (the median absolute deviation times 1.4826) first.

    Args:
        predictions: Estimates.
        targets: True values.
        scale: The error from which on nothing is learned; positive.

    >>> tukey_biweight(jnp.array([0.1, 5.0, 100.0]), jnp.zeros(3), reduction="none")
    Array([0.00499772, 3.6582042 , 3.6582042 ], dtype=float32)

    References:
        Beaton and Tukey, The Fitting of Power Series, Meaning Polynomials, 1974. https://doi.org/10.1080/00401706.1974.10489171
    """
    error = predictions - targets
    inside = jnp.abs(error) < scale
    share = select(inside, jnp.square(select(inside, error, 0.0) / scale), select(jnp.isnan(error), error, 1.0))
    return jnp.square(scale) / 6 * share * (3 - 3 * share + share * share)


def _barron(error: Array, alpha: Array) -> Array:
    """Two forms of one formula: each divides by what is far from 0 on its side of ``alpha = 1``."""
    square, steep, bounded = _square(error), alpha >= 1, clipped(alpha, -1e18, 1.0)
    width = select(alpha <= -1e18, 0.0, 1 / (2 - bounded))
    return select(steep, _towards_squared(square, select(steep, alpha, 2.0)), _towards_welsch(square, width))


def _square(error: Array) -> Array:
    """The squared error, kept finite."""
    limit = float(jnp.finfo(error.dtype).max) ** 0.5 / 16
    return jnp.square(clipped(error, -limit, limit))


def _towards_welsch(square: Array, width: Array | float) -> Array:
    """``(exp(k m) - 1) / k``, where ``k = 2 width - 1`` and ``m`` is Cauchy's logarithm; `width` is ``1 / (2 - alpha)``."""
    return scaled_expm1(0.5 * scaled_log1p(square, width), 2 * width - 1)


def _towards_squared(square: Array, alpha: Array) -> Array:
    """``(square exp(s) + b (exp(s) - 1)) / alpha``, where ``b = |alpha - 2|`` and ``s`` goes to 0 with it."""
    width = select(alpha < 2, 2 - alpha, alpha - 2)
    least = float(jnp.finfo(square.dtype).eps)
    width = select(width < least, least, width)
    wide = square > 1e16 * width
    logarithm = select(wide, jnp.log(select(wide, square, 1.0)) - jnp.log(width), jnp.log1p(select(wide, 0.0, square) / width))
    s = 0.5 * (alpha - 2) * logarithm
    return (square * jnp.exp(s) + width * jnp.expm1(s)) / alpha
