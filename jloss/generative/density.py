"""Exact likelihoods of generative models: of flows, and of pixels that take one of so many values. In nats."""

import math
from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import hint, select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.generative._bins import LOG_ROOT_2PI, binned_normal_nll, bounded
from jloss.generative._numbers import log1mexp_small
from jloss.numerics import log_softmax, logsumexp
from jloss.numerics._special import tanh
from jloss.numerics.guards import softplus_by_series


@loss("(d),()->()", "real real")
def flow_nll(latents: Array, log_determinants: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The likelihood of a datum under a normalising flow to the standard normal distribution.

    .. math::
        \ell = \tfrac12 \sum_i z_i^2 + \tfrac d2 \log 2\pi - \log \Bigl|\det \frac{\partial z}{\partial x}\Bigr|

    In nats, the sum over the dimensions; `bits_per_dimension` converts it. It has no lower bound.

    Args:
        latents: What the flow makes of the datum, z.
        log_determinants: Logarithm of the absolute determinant of dz/dx.

    >>> flow_nll(jnp.zeros(2), jnp.array(0.0))
    Array(1.837877, dtype=float32)

    References:
        Dinh, Sohl-Dickstein, Bengio, Density estimation using Real NVP, 2017. https://arxiv.org/abs/1605.08803
    """
    return jnp.sum(jnp.square(latents)) / 2 + latents.shape[0] * LOG_ROOT_2PI - log_determinants


@loss("(m),(c,m),(c,m),(c),(e,m)->()", "real real real real real")
@hint(needs={"m": "components"})
def discretized_logistic_mixture(
    mixture_logits: Array,
    means: Array,
    log_scales: Array,
    targets: Array,
    coefficients: Array | None = None,
    *,
    bins: int = 256,
    min_log_scale: float = -7.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The likelihood of a pixel under a mixture of logistic distributions, cut into the bins that its values are rounded to.

    .. math::
        \ell = -\log \sum_m \pi_m \prod_c \Bigl[\sigma\Bigl(\frac{x_c - \mu_{cm} + h}{s_{cm}}\Bigr)
        - \sigma\Bigl(\frac{x_c - \mu_{cm} - h}{s_{cm}}\Bigr)\Bigr] \qquad h = \tfrac{1}{\text{bins} - 1}

    One pixel of c channels; one mixture of m for all of them. The lowest bin reaches to minus infinity, the highest to infinity. A
    channel's mean also depends on the channels before it, where `coefficients` are given: ``mean_1 + tanh(a) x_0`` and so on. Exact
    everywhere, where PixelCNN++'s code takes the density instead of a difference below 1e-5. Scales at the floor have no gradient.
    An infinite mean has none, either, and all of its mass is in the last bin on its side.

    Args:
        mixture_logits: Scores of the components.
        means: Of each channel and component.
        log_scales: Logarithms of the scales s.
        targets: The pixel, on the grid ``-1 + 2 i / (bins - 1)``.
        coefficients: How much of an earlier channel a mean takes, before tanh, in the order (1,0), (2,0), (2,1), (3,0), ...: c (c - 1) / 2
            rows. None: channels are independent.
        bins: How many values a channel can take; 2 or more.
        min_log_scale: The floor of `log_scales`.

    >>> discretized_logistic_mixture(jnp.zeros(1), jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.array([-1.0]), bins=2)
    Array(0.6931472, dtype=float32)

    References:
        Salimans, Karpathy, Chen, Kingma, PixelCNN++, 2017. https://arxiv.org/abs/1701.05517
    """
    half = _half_bin("discretized_logistic_mixture", bins)
    if coefficients is not None:
        means = means + _earlier_channels(coefficients, targets)
    scales = bounded(select(log_scales <= min_log_scale, min_log_scale, log_scales))
    far = 0.5 * float(jnp.finfo(means.dtype).max)  # in place of infinity, whose product with a derivative of 0 is NaN
    means = select(means > far, far, select(means < -far, -far, means))
    inverse, gaps = jnp.exp(-scales), targets[:, None] - means
    width, low, high = 2 * half * inverse, (targets < -1 + half)[:, None], (targets > 1 - half)[:, None]
    below = jnp.where(high, 0.0, softplus_by_series(-(gaps + half) * inverse))  # minus the logarithms of what both tails leave
    above = jnp.where(low, 0.0, softplus_by_series((gaps - half) * inverse))
    logs = jnp.where(low | high, 0.0, log1mexp_small(width, math.log(2 * half) - scales)) - below - above
    return -logsumexp(jnp.sum(logs, axis=0) + log_softmax(mixture_logits))


@loss("(),(),()->()", "real real real")
@hint(blocks=8, keeps=4)
def discretized_gaussian_nll(means: Array, log_scales: Array, targets: Array, *, bins: int = 256, **reduce: Unpack[Reduce]) -> Array:
    r"""The likelihood of a number under a normal distribution, cut into the bins that its values are rounded to.

    .. math::
        \ell = -\log \Bigl[\Phi\Bigl(\frac{x - \mu + h}{s}\Bigr) - \Phi\Bigl(\frac{x - \mu - h}{s}\Bigr)\Bigr]
        \qquad h = \tfrac{1}{\text{bins} - 1}

    The lowest bin reaches to minus infinity, the highest to infinity. The decoder of improved DDPM, with the true distribution function:
    its code approximates that by a tanh, 45 % too low at four deviations, and floors it at 1e-12, where the gradient is lost.

    Args:
        means: Of the distribution.
        log_scales: Logarithms of its standard deviations s.
        targets: Numbers on the grid ``-1 + 2 i / (bins - 1)``.
        bins: How many values there are; 2 or more.

    >>> discretized_gaussian_nll(jnp.array(0.0), jnp.array(0.0), jnp.array(-1.0), bins=2)
    Array(0.6931472, dtype=float32)

    References:
        Nichol, Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021. https://arxiv.org/abs/2102.09672
    """
    return binned_normal_nll(means, log_scales, targets, _half_bin("discretized_gaussian_nll", bins))


def bits_per_dimension(nats: Array, dimensions: int, bins: int = 1) -> Array:
    """A likelihood in nats as bits per dimension, the number that papers report.

    Args:
        nats: Negative log-likelihoods of whole data.
        dimensions: How many numbers a datum has.
        bins: For densities of data that were scaled to 0..1 from so many values with uniform noise, as flows are trained: 256. For
            likelihoods of the values themselves, 1.

    >>> bits_per_dimension(jnp.log(2.0) * 6, 2)
    Array(3., dtype=float32)
    """
    if dimensions < 1 or bins < 1:
        raise ValueError(f"bits_per_dimension: `dimensions` and `bins` must be 1 or more, got {dimensions} and {bins}.")
    return jnp.asarray(nats, float) / (dimensions * math.log(2)) + math.log2(bins)


def _half_bin(name: str, bins: int) -> float:
    if bins < 2:
        raise ValueError(f"{name}: `bins` must be 2 or more, got {bins}.")
    return 1 / (bins - 1)


def _earlier_channels(coefficients: Array, targets: Array) -> Array:
    """What each mean takes from the channels before it: (c,m)."""
    channels = targets.shape[0]
    if coefficients.shape[0] != channels * (channels - 1) // 2:
        raise ValueError(
            f"discretized_logistic_mixture: `coefficients` must have {channels * (channels - 1) // 2} rows, one for each pair of "
            f"{channels} channels, got {coefficients.shape[0]}."
        )
    shares, taken, start = tanh(coefficients), [], 0
    for channel in range(channels):
        taken.append(jnp.sum(shares[start : start + channel] * targets[:channel, None], axis=0))
        start += channel
    return jnp.stack(taken)
