"""Diffusion, flow matching and consistency: what a network should predict of a noisy datum.

``*s`` is one whole datum and means three axes, an image ``(h, w, c)``, unless ``spatial_ndim=`` says otherwise: 1 a vector, 2 a sequence
``(t, d)``, 4 a video. A number beside it (`log_snr`, `sigma`, `time`) is an input, one for each datum: ``(8, 32, 32, 3)`` goes with
``(8,)``. A loss is the mean over the numbers of a datum unless it says sum. The weight of a loss is part of its value; it is not the
keyword `weights`, by whose sum the mean is divided. `mask` drops numbers of a datum, NaN included.

What is a loss of another family, or one of these on other arrays: rectified flow, stochastic interpolants and Schroedinger bridges are
`flow_matching` with other targets, optimal transport pairs noise and data by `match` of squared distances, progressive distillation is
`diffusion` with ``prediction="x0", weighting="truncated_snr"`` against a teacher, D3PM's terms are `categorical_kl` of posteriors; for
other distances (`huber`, `charbonnier`) take `diffusion_weight`.
"""

import math
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.arguments import check_static
from jloss._core.backend import hint, select
from jloss._core.domains import arithmetic_dtype
from jloss._core.loss import loss
from jloss._core.signature import Datum
from jloss.generative._bins import binned_normal_nll
from jloss.generative._numbers import mean_or_zero, times
from jloss.numerics import safe_divide, safe_exp, safe_sqrt
from jloss.numerics._special import exp_remainder

Prediction = Literal["epsilon", "x0", "v"]
Weighting = Literal["uniform", "min_snr", "soft_min_snr", "p2", "snr", "snr_plus_one", "truncated_snr", "sigmoid"]


@loss(
    "(*s),(*s),(),(*s)->()",
    "real real real mask",
    constants="log_snr",
    gamma="positive",
    p2_k="nonnegative",
)
def diffusion(
    predictions: Array,
    targets: Array,
    log_snr: Array,
    mask: Array | None = None,
    *,
    prediction: Prediction = "epsilon",
    weighting: Weighting = "uniform",
    gamma: float = 5.0,
    p2_gamma: float = 1.0,
    p2_k: float = 1.0,
    bias: float = 0.0,
    **reduce: Unpack[Datum],
) -> Array:
    r"""The weighted squared error of a denoising network, for every prediction and weighting in use.

    .. math::
        \ell = w \operatorname{mean} (\text{predictions} - \text{targets})^2 \qquad
        w = W,\ \frac{W}{\text{snr}},\ \frac{W}{\text{snr} + 1} \text{ for } x_0,\ \epsilon,\ v

    `targets` is what the network predicts: the noise, the clean datum, or ``v = alpha epsilon - sigma x0``, with alpha^2 + sigma^2 = 1.
    The weight W of the error of x0 is ``min(snr, gamma)`` for "min_snr", ``snr gamma / (snr + gamma)`` for "soft_min_snr",
    ``snr / (p2_k + snr)**p2_gamma`` for "p2", ``snr``, ``snr + 1``, ``max(snr, 1)`` for "truncated_snr", and
    ``snr sigmoid(bias - log_snr)`` for "sigmoid"; "uniform" is w = 1 whatever is predicted. The weight has no gradient.

    At a log_snr of -inf (zero terminal SNR) and +inf the weight is its limit, where quotients give NaN. Where that limit is infinite, so is
    the value, without a gradient, unless the error is 0.

    Args:
        predictions: Of the network.
        targets: What it should predict.
        log_snr: Natural logarithm of the signal to noise ratio, one for each datum; a constant.
        mask: Which numbers of the datum to use; all by default, and none costs 0.
        prediction: ``"epsilon"``, ``"x0"`` or ``"v"``.
        weighting: ``"uniform"``, ``"min_snr"``, ``"soft_min_snr"``, ``"p2"``, ``"snr"``, ``"snr_plus_one"``, ``"truncated_snr"`` or
            ``"sigmoid"``.
        gamma: Where min-SNR cuts off; for k-diffusion's soft form ``sigma_data**-2``.
        p2_gamma: How much "p2" holds back low noise.
        p2_k: Of "p2".
        bias: Where "sigmoid" cuts off, a log-SNR.

    >>> error = jnp.ones((2, 4, 4, 3)), jnp.zeros((2, 4, 4, 3)), jnp.array([-jnp.inf, 3.0])
    >>> diffusion(*error, weighting="min_snr", reduction="none")
    Array([1.        , 0.24893534], dtype=float32)

    References:
        Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models, 2020. https://arxiv.org/abs/2006.11239
        Salimans, Ho, Progressive Distillation for Fast Sampling of Diffusion Models, 2022. https://arxiv.org/abs/2202.00512
        Choi et al., Perception Prioritized Training of Diffusion Models, 2022. https://arxiv.org/abs/2204.00227
        Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, 2023. https://arxiv.org/abs/2303.09556
        Kingma, Gao, Understanding Diffusion Objectives as the ELBO with Simple Data Augmentation, 2023.
        https://arxiv.org/abs/2303.00848
    """
    weight = _diffusion_weight(log_snr, prediction, weighting, gamma, p2_gamma, p2_k, bias)
    return times(weight, _mean_square(predictions - targets, mask))


@loss("(*s),(*s),(),(*s)->()", "real real unit mask", constants="time", scale="positive")
def flow_matching(
    predictions: Array,
    targets: Array,
    time: Array | None = None,
    mask: Array | None = None,
    *,
    weighting: Literal["uniform", "logit_normal", "cosmap", "inverse_square"] = "uniform",
    location: float = 0.0,
    scale: float = 1.0,
    **reduce: Unpack[Datum],
) -> Array:
    r"""The squared error of a velocity: flow matching, rectified flow, stochastic interpolants.

    .. math::
        \ell = w(t) \operatorname{mean} (\text{predictions} - \text{targets})^2

    `targets` are velocities in your own direction: data - noise, or noise - data as in SD3 and Flux. The weight has no gradient. It is 1;
    for "logit_normal" the density ``exp(-(logit t - location)^2 / (2 scale^2)) / (scale sqrt(2 pi) t (1 - t))``, 0 at both ends (where t
    itself is drawn from it, no weight is needed); for "cosmap" ``2 / (pi (1 - 2 t + 2 t^2))``; for "inverse_square" ``t^-2`` (diffusers'
    sigma_sqrt, where the time is the noise level), infinite at 0 unless the error is 0.

    Args:
        predictions: Velocities of the network.
        targets: True velocities.
        time: Between 0 and 1, one for each datum; a constant. The uniform weight needs none.
        mask: Which numbers of the datum to use; all by default, and none costs 0.
        weighting: ``"uniform"``, ``"logit_normal"``, ``"cosmap"`` or ``"inverse_square"``.
        location: Of the logit-normal density.
        scale: Of the logit-normal density.

    >>> flow_matching(jnp.ones((2, 8, 8, 3)), jnp.zeros((2, 8, 8, 3)))
    Array(1., dtype=float32)

    References:
        Lipman et al., Flow Matching for Generative Modeling, 2023. https://arxiv.org/abs/2210.02747
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024. https://arxiv.org/abs/2403.03206
    """
    error = _mean_square(predictions - targets, mask)
    if weighting == "uniform":
        return error
    if time is None:
        raise ValueError(f'flow_matching: `time` must be given with `weighting="{weighting}"`, one for each datum.')
    weight = _time_weight(time, weighting, location, scale)
    return times(lax.stop_gradient(weight), error)


@loss("(*s),(*s),(),(),(*s)->()", "real real positive real mask", constants="sigma", sigma_data="positive")
def edm(
    predictions: Array,
    targets: Array,
    sigma: Array,
    log_variance: Array | None = None,
    mask: Array | None = None,
    *,
    sigma_data: float = 0.5,
    **reduce: Unpack[Datum],
) -> Array:
    r"""The error of a denoised datum, weighted so that every noise level matters alike at first.

    .. math::
        \ell = \Bigl(\frac{1}{\sigma^2} + \frac{1}{\sigma_\text{data}^2}\Bigr) \operatorname{mean} (\text{predictions} - \text{targets})^2
        \qquad\text{or}\qquad \ell\, e^{-u} + u,\quad u = \text{log\_variance}

    The weight has no gradient. EDM2 learns u, the logarithm of the error that is to be expected at a noise level, beside the network.

    Args:
        predictions: The denoised datum.
        targets: The clean datum.
        sigma: The noise level, one for each datum; a constant.
        log_variance: The learned uncertainty of the noise level, u; none by default.
        mask: Which numbers of the datum to use; all by default, and none costs 0 (plus u).
        sigma_data: The standard deviation of the data.

    >>> edm(jnp.ones((4, 4, 3)), jnp.zeros((4, 4, 3)), jnp.array(1.0))
    Array(5., dtype=float32)

    References:
        Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022. https://arxiv.org/abs/2206.00364
        Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, 2024. https://arxiv.org/abs/2312.02696
    """
    weight = 1 / jnp.square(sigma) + 1 / jnp.square(sigma_data)
    value = times(lax.stop_gradient(weight), _mean_square(predictions - targets, mask))
    if log_variance is None:
        return value
    scaled = times(safe_exp(-log_variance), value)
    return scaled + select(scaled == jnp.inf, 0.0, log_variance)  # whose gradient alone would lead further into the overflow


@loss("(*s),(*s),(),(*s)->()", "real real positive mask", constants="targets", c="nonnegative")
def consistency_model(
    predictions: Array,
    targets: Array,
    step: Array | None = None,
    mask: Array | None = None,
    *,
    c: Array | float | None = None,
    **reduce: Unpack[Datum],
) -> Array:
    r"""The pseudo-Huber distance of a consistency model's outputs at two neighbouring times.

    .. math::
        \ell = \frac{\sqrt{\sum e^2 + c^2} - c}{\text{step}} \qquad e = \text{predictions} - \operatorname{sg}(\text{targets})

    One root for each datum. Written as the sum over (root + c), so that small errors keep their digits. With ``c=0`` it is the distance
    itself, whose gradient at a match is 0. LCM's form, number by number, is `charbonnier`.

    Args:
        predictions: Of the network at the later time.
        targets: Of the network at the earlier time; constants.
        step: The difference of the two noise levels, one for each datum; 1 by default.
        mask: Which numbers of the datum to use; all by default, and none costs 0.
        c: Where the parabola turns into the cone; 0.00054 times the root of the number of numbers by default.

    >>> consistency_model(jnp.full((1, 1, 1), 4.0), jnp.zeros((1, 1, 1)), c=3.0)
    Array(2., dtype=float32)

    References:
        Song et al., Consistency Models, 2023. https://arxiv.org/abs/2303.01469
        Song, Dhariwal, Improved Techniques for Training Consistency Models, 2024. https://arxiv.org/abs/2310.14189
    """
    squares, count = _squares(predictions - lax.stop_gradient(targets), mask)
    offset = 0.00054 * jnp.sqrt(jnp.where(count == 0, 1, count).astype(squares.dtype)) if c is None else c
    endless = squares == jnp.inf
    squares = select(endless, 0.0, squares)
    distance = safe_divide(squares, safe_sqrt(squares + jnp.square(offset)) + offset)
    distance = select(endless, jnp.inf, distance)
    return distance if step is None else distance / step


@loss(
    "(*s),(*s),(*s),()->()",
    "real real real real",
    constants="velocity derivative interval",
    epsilon="nonnegative",
)
def mean_flow(
    predictions: Array,
    velocity: Array,
    derivative: Array,
    interval: Array,
    *,
    p: float = 1.0,
    epsilon: float = 0.01,
    **reduce: Unpack[Datum],
) -> Array:
    r"""Trains the average velocity over an interval of time, for generation in one step.

    .. math::
        \ell = \frac{q}{\operatorname{sg}(q + \epsilon)^p} \qquad
        q = \sum \bigl(\text{predictions} - \operatorname{sg}(\text{velocity} - \text{interval} \cdot \text{derivative})\bigr)^2

    The sum over the datum. The adaptive weight makes the value near 1 for all large errors, and infinite where q overflows: watch q, by
    ``p=0``. The derivative of the network along ``(velocity, 0, 1)`` in (z, r, t) comes from your `jax.jvp`; it has no gradient.

    Args:
        predictions: Average velocities u of the network.
        velocity: Velocities at the end of the interval; constants.
        derivative: du/dt along the flow; constants.
        interval: t - r, one for each datum, as it is; a constant.
        p: The power of the adaptive weight; 0 for none.
        epsilon: Added to q in the weight.

    >>> mean_flow(jnp.full((1, 1, 1), 3.0), jnp.ones((1, 1, 1)), jnp.zeros((1, 1, 1)), jnp.array(0.5), p=0.0)
    Array(4., dtype=float32)

    References:
        Geng et al., Mean Flows for One-step Generative Modeling, 2025. https://arxiv.org/abs/2505.13447
    """
    error = jnp.sum(jnp.square(predictions - lax.stop_gradient(velocity - interval * derivative)))
    weighted = times(lax.stop_gradient(error + epsilon) ** -p, error)
    return select(error == jnp.inf, lax.stop_gradient(error), weighted)  # not 0: a network that has diverged is to be seen


@loss("(*s),(*s),()->()", "real real real")
def variational_diffusion(predictions: Array, targets: Array, slope: Array, **reduce: Unpack[Datum]) -> Array:
    r"""The diffusion term of the evidence bound, in nats, with a noise schedule that may be learned.

    .. math::
        \ell = -\frac{\text{slope}}{2} \sum (\text{predictions} - \text{targets})^2 \qquad \text{slope} = \frac{d \log \text{snr}}{dt}

    The sum over the datum. The slope is negative, and has a gradient: a learned schedule needs it. For T steps take
    ``T * (1 - exp(log_snr_s - log_snr_t))`` with s = t - 1/T.

    Args:
        predictions: Noise that the network predicts.
        targets: The true noise.
        slope: Of the log-SNR in time, one for each datum; negative.

    >>> variational_diffusion(jnp.ones((2, 2, 1)), jnp.zeros((2, 2, 1)), jnp.array(-3.0))
    Array(6., dtype=float32)

    References:
        Kingma, Salimans, Poole, Ho, Variational Diffusion Models, 2021. https://arxiv.org/abs/2107.00630
    """
    return -slope / 2 * jnp.sum(jnp.square(predictions - targets))


@loss("(*s),(*s),(*s),(*s),(*s),()->()", "real real real real real mask")
@hint(blocks=8, keeps=4)
def variational_bound(
    means: Array,
    log_variances: Array,
    true_means: Array,
    true_log_variances: Array,
    targets: Array,
    first: Array,
    *,
    fixed_means: bool = False,
    bins: int = 256,
    **reduce: Unpack[Datum],
) -> Array:
    r"""A term of the evidence bound of a diffusion model with learned variances, in bits per number.

    .. math::
        \ell = \frac{1}{\ln 2} \operatorname{mean} \operatorname{KL}\bigl(N(\tilde\mu, \tilde v) \,\|\, N(\mu, v)\bigr)
        \quad\text{or, at the first step,}\quad \frac{1}{\ln 2} \operatorname{mean} -\log P(x_0)

    The likelihood of the first step is `discretized_gaussian_nll`, exact where improved DDPM's code approximates. The inputs of the term
    that is not taken do not matter, NaN included. In the hybrid loss the means are fixed, and the term is multiplied by T/1000.

    Args:
        means: Of the reverse step as the network predicts it.
        log_variances: Logarithms of its variances.
        true_means: Of the posterior given the clean datum.
        true_log_variances: Logarithms of its variances.
        targets: The clean datum, on the grid ``-1 + 2 i / (bins - 1)``.
        first: True for data at the first step, t = 0.
        fixed_means: Whether the predicted means get no gradient.
        bins: How many values a number can take.

    >>> zeros = jnp.zeros((2, 2, 1))
    >>> variational_bound(zeros + 2, zeros, zeros, zeros, zeros, jnp.array(False))
    Array(2.88539, dtype=float32)

    References:
        Nichol, Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021. https://arxiv.org/abs/2102.09672
    """
    if bins < 2:
        raise ValueError(f"variational_bound: `bins` must be 2 or more, got {bins}.")
    means = lax.stop_gradient(means) if fixed_means else means
    arrays = means, log_variances, true_means, true_log_variances, targets
    means, log_variances, true_means, true_log_variances, targets = map(jnp.ravel, arrays)  # three channels are a short loop

    def given(taken: Array, *arrays: Array) -> list[Array]:
        return [select(taken, a, 0.0) for a in arrays]

    mean, log_variance, true_mean, true_log_variance = given(~first, means, log_variances, true_means, true_log_variances)
    far = times(safe_exp(-log_variance), jnp.square(true_mean - mean))
    divergence = mean_or_zero(far + exp_remainder(true_log_variance - log_variance)) / 2
    mean, log_variance, target = given(first, means, log_variances, targets)
    surprise = mean_or_zero(binned_normal_nll(mean, log_variance / 2, target, 1 / (bins - 1)))
    return select(first, surprise, divergence) / math.log(2)


def diffusion_weight(
    log_snr: Array,
    prediction: Prediction = "epsilon",
    weighting: Weighting = "uniform",
    gamma: float = 5.0,
    p2_gamma: float = 1.0,
    p2_k: float = 1.0,
    bias: float = 0.0,
) -> Array:
    """The weight w of `diffusion`, without a gradient, for other distances than the squared error.

    Args:
        log_snr: Natural logarithms of signal to noise ratios, of any shape.
        prediction: What the network predicts.
        weighting: As in `diffusion`.
        gamma: Of the two min-SNR weightings.
        p2_gamma: Of "p2".
        p2_k: Of "p2".
        bias: Of "sigmoid".

    >>> diffusion_weight(jnp.array([-jnp.inf, 0.0, jnp.inf]), "v", "min_snr")
    Array([0. , 0.5, 0. ], dtype=float32)
    """
    check_static("diffusion_weight", "prediction", prediction, Prediction)
    check_static("diffusion_weight", "weighting", weighting, Weighting)
    given = jnp.asarray(log_snr, float) if not hasattr(log_snr, "dtype") else jnp.asarray(log_snr)
    wide = given.astype(arithmetic_dtype([given]))
    return _diffusion_weight(wide, prediction, weighting, gamma, p2_gamma, p2_k, bias)


def _diffusion_weight(
    log_snr: Array,
    prediction: Prediction,
    weighting: Weighting,
    gamma: Array | float,
    p2_gamma: Array | float,
    p2_k: Array | float,
    bias: Array | float,
) -> Array:
    """The weight in the three forms that it has for epsilon, x0 and v, none of which is a quotient of two numbers that vanish together."""
    log_snr = lax.stop_gradient(log_snr)
    gamma, p2_gamma, p2_k, bias = (lax.stop_gradient(jnp.asarray(x).astype(log_snr.dtype)) for x in (gamma, p2_gamma, p2_k, bias))
    snr, inverse = jnp.exp(log_snr), jnp.exp(-log_snr)
    signal, noise = jax.nn.sigmoid(log_snr), jax.nn.sigmoid(-log_snr)  # alpha^2 and sigma^2
    ones = jnp.where(jnp.isnan(log_snr), log_snr, 1.0)
    epsilon, x0, v = {
        "uniform": lambda: (ones, ones, ones),
        "min_snr": lambda: (jnp.minimum(1, gamma * inverse), jnp.minimum(snr, gamma), jnp.minimum(signal, gamma * noise)),
        "soft_min_snr": lambda: (
            1 / (1 + snr / gamma),
            1 / (inverse + 1 / gamma),
            1 / ((inverse + 1 / gamma) * (1 + snr)),
        ),
        "p2": lambda: _p2(log_snr, p2_gamma, p2_k),
        "snr": lambda: (ones, snr, signal),
        "snr_plus_one": lambda: (1 + inverse, 1 + snr, ones),
        "truncated_snr": lambda: (jnp.maximum(1, inverse), jnp.maximum(snr, 1), jnp.maximum(signal, noise)),
        "sigmoid": lambda: (
            jax.nn.sigmoid(bias - log_snr),
            jnp.exp(bias) * jax.nn.sigmoid(log_snr - bias),
            signal * jax.nn.sigmoid(bias - log_snr),
        ),
    }[weighting]()
    return {"epsilon": epsilon, "x0": x0, "v": v}[prediction]


def _p2(log_snr: Array, gamma: Array | float, k: Array | float) -> tuple[Array, Array, Array]:
    """``snr / (k + snr)**gamma`` and its quotients, by the larger of k and snr."""
    snr, inverse = jnp.exp(log_snr), jnp.exp(-log_snr)
    clear = (snr > k) | jnp.asarray(k == 0)

    def power(exponent: Array | float) -> Array:
        """``snr**exponent (1 + k / snr)**-gamma``."""
        rise = select(jnp.asarray(exponent == 0), 0.0, exponent * log_snr)
        return jnp.exp(rise) * (1 + select(jnp.asarray(k == 0), 0.0, k * inverse)) ** -gamma

    epsilon = select(clear, power(-gamma), (k + snr) ** -gamma)
    x0 = select(clear, power(1 - gamma), snr * (k + snr) ** -gamma)
    return epsilon, x0, select(log_snr > 0, epsilon * jax.nn.sigmoid(log_snr), x0 * jax.nn.sigmoid(-log_snr))


def _time_weight(time: Array, weighting: str, location: Array | float, scale: Array | float) -> Array:
    """The weight of a velocity's error; the density of a logit-normal time by one exponential, so that its ends are 0."""
    if weighting == "cosmap":
        return 2 / (math.pi * (jnp.square(time) + jnp.square(1 - time)))
    if weighting == "inverse_square":
        return 1 / jnp.square(time)
    ends = (time <= 0) | (time >= 1)
    t = select(ends, 0.5, time)
    gap = (jnp.log(t) - jnp.log1p(-t) - location) / scale
    density = jnp.exp(-jnp.square(gap) / 2 - jnp.log(t) - jnp.log1p(-t)) / (scale * math.sqrt(2 * math.pi))
    return select(ends, 0.0, density)


def _mean_square(error: Array, mask: Array | None) -> Array:
    """The mean of the kept squares; 0 if none is kept."""
    squares, count = _squares(error, mask)
    return squares / jnp.where(count == 0, 1, count).astype(squares.dtype)


def _squares(error: Array, mask: Array | None) -> tuple[Array, Array]:
    """The sum of the kept squares, and their number."""
    if mask is None:
        return jnp.sum(jnp.square(error)), jnp.asarray(error.size).astype(jnp.int32)
    return jnp.sum(jnp.square(jnp.where(mask, error, 0.0))), jnp.sum(mask, dtype=jnp.int32)
