"""Variational autoencoders and quantisation: divergences to a prior, bounds by samples, codes.

Values are in nats. The evidence bound is a reconstruction plus a divergence; beta is its weight (`weighted_sum`), annealing a schedule of
that weight, capacity the `absolute_error` of the mean divergence from it. WAE, InfoVAE and MMD-VAE compare codes with samples of the prior.
"""

import math
from collections.abc import Callable
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.backend import hint, select
from jloss._core.blocks import sum_over_blocks
from jloss._core.loss import loss
from jloss._core.signature import Datum, OverClasses, Reduce
from jloss.generative._numbers import log_sinhc, mean_or_zero, probabilities_and_entropy, products_of_units, times
from jloss.generative._sets import group
from jloss.generative._triangular import below_diagonal, column_less_row, diagonal, forward_substitution
from jloss.numerics import clipped, log_softmax, logsumexp, safe_exp, safe_log
from jloss.numerics._special import exp_remainder, power_divergence, scaled_expm1, scaled_log1p, xlogx


@loss("(d),(d),(d),(d)->()", "real real real real", free_bits="nonnegative", balance="unit")
def gaussian_kl(
    means: Array,
    log_variances: Array,
    prior_means: Array | None = None,
    prior_log_variances: Array | None = None,
    *,
    free_bits: float = 0.0,
    balance: Array | float | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The divergence of a Gaussian with independent dimensions from a prior, the standard normal by default: the second term of a VAE.

    .. math::
        \ell = \tfrac12 \sum_i \log \frac{v'_i}{v_i} + \frac{v_i + (\mu_i - \mu'_i)^2}{v'_i} - 1
        \qquad v = e^{\text{log\_variances}},\ v' = e^{\text{prior\_log\_variances}}

    In nats, the sum over the dimensions. With `free_bits` every dimension costs at least so much and has no gradient below: it need not
    collapse onto the prior. With `balance` b the value stays, but the prior learns b of it and the posterior 1 - b (DreamerV2: 0.8).
    Accurate near a match, where the plain formula keeps no digit in float32.

    Args:
        means: Of the posterior.
        log_variances: Logarithms of its variances; -inf costs infinity.
        prior_means: Of the prior; 0 by default.
        prior_log_variances: Logarithms of its variances; 0 by default.
        free_bits: What a dimension costs at least, in nats.
        balance: The share of the gradient that goes to the prior; plain if None.

    >>> gaussian_kl(jnp.array([1.0, 0.0]), jnp.zeros(2))
    Array(0.5, dtype=float32)

    References:
        Kingma, Welling, Auto-Encoding Variational Bayes, 2014. https://arxiv.org/abs/1312.6114
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016. https://arxiv.org/abs/1606.04934
        Hafner et al., Mastering Atari with Discrete World Models, 2021. https://arxiv.org/abs/2010.02193
    """
    prior = None
    if prior_means is not None or prior_log_variances is not None:
        prior = tuple(jnp.zeros_like(means) if p is None else p for p in (prior_means, prior_log_variances))

    def divergences(q: tuple[Array, ...], p: tuple[Array, ...] | None) -> Array:
        mean, log_variance = q
        if p is None:
            return 0.5 * (jnp.square(mean) + exp_remainder(log_variance))
        return 0.5 * (times(safe_exp(-p[1]), jnp.square(mean - p[0])) + exp_remainder(log_variance - p[1]))

    each = _balanced("gaussian_kl", divergences, (means, log_variances), prior, balance)
    free = ~(each > free_bits) & ~jnp.isnan(each) & (free_bits != 0)
    return jnp.sum(select(free, free_bits, each))


@loss("(k),(k)->()", "real real", balance="unit")
def categorical_kl(
    logits: Array, prior_logits: Array | None = None, *, balance: Array | float | None = None, **reduce: Unpack[OverClasses]
) -> Array:
    r"""The divergence of a categorical distribution from a prior, the uniform one by default.

    .. math::
        \ell = \sum_i q_i \log \frac{q_i}{p_i} \qquad q = \text{softmax}(\text{logits}),\ p = \text{softmax}(\text{prior\_logits})

    Without a prior it is log k minus the entropy. A class that q lacks (a logit of -inf) adds nothing to the sum; one that p lacks and q
    has costs infinity. With `balance` b the value stays, but the prior learns b of it and the posterior 1 - b. Several latents are a batch
    axis: sum over it (as DreamerV3 does) before any free nats are taken.

    Args:
        logits: Unnormalised log-probabilities of the posterior, q.
        prior_logits: Unnormalised log-probabilities of the prior, p; uniform by default.
        balance: The share of the gradient that goes to the prior; plain if None.

    >>> categorical_kl(jnp.array([0.0, -jnp.inf]))
    Array(0.6931472, dtype=float32)

    References:
        Jang, Gu, Poole, Categorical Reparameterization with Gumbel-Softmax, 2017. https://arxiv.org/abs/1611.01144
        Hafner et al., Mastering Atari with Discrete World Models, 2021. https://arxiv.org/abs/2010.02193
    """
    k = logits.shape[-1]

    def divergence(q: tuple[Array, ...], p: tuple[Array, ...] | None) -> Array:
        ours = log_softmax(q[0])
        theirs = jnp.full_like(ours, -math.log(k)) if p is None else log_softmax(p[0])
        return _relative_entropy(ours, theirs)

    return _balanced("categorical_kl", divergence, (logits,), None if prior_logits is None else (prior_logits,), balance)


@loss("(d),(d,d),(d),(d,d)->()", "real real real real")
def multivariate_gaussian_kl(
    means: Array,
    factors: Array,
    prior_means: Array | None = None,
    prior_factors: Array | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The divergence of a Gaussian with a full covariance from a prior, the standard normal by default.

    .. math::
        \ell = \tfrac12 \Bigl(\lVert M \rVert_F^2 + \lVert L'^{-1}(\mu - \mu') \rVert^2 - d\Bigr) - \sum_i \log M_{ii}
        \qquad M = L'^{-1} L

    The covariances are L L' with lower triangular factors of positive diagonal; what stands above the diagonal is ignored. By triangular
    solves, without an inverse. A diagonal entry of 0 costs infinity, of the prior without a gradient; a negative one is NaN.

    Args:
        means: Of the posterior.
        factors: Cholesky factor L of its covariance.
        prior_means: Of the prior; 0 by default.
        prior_factors: Cholesky factor of its covariance; the identity by default.

    >>> multivariate_gaussian_kl(jnp.array([3.0, 4.0]), jnp.eye(2))
    Array(12.5, dtype=float32)

    References:
        Kingma, Welling, An Introduction to Variational Autoencoders, 2019. https://arxiv.org/abs/1906.02691
    """
    factor, gap = below_diagonal(factors), means if prior_means is None else means - prior_means
    log_ratios = safe_log(diagonal(factor))
    singular = broken = jnp.zeros((), bool)
    if prior_factors is not None:
        prior = below_diagonal(prior_factors)
        singular, broken = jnp.any(diagonal(prior) == 0), jnp.any(diagonal(prior) < 0) | jnp.any(jnp.isnan(prior))
        prior = jnp.where(singular, (column_less_row(prior) == 0).astype(prior.dtype), prior)
        # no scale changes the divergence, but squares of tiny numbers underflow
        unit = 1 / lax.stop_gradient(jnp.max(diagonal(prior), initial=0.0))
        solved = forward_substitution(prior * unit, jnp.concatenate([factor, gap[:, None]], axis=1) * unit)
        most = 2.0 ** (jnp.finfo(means.dtype).maxexp // 2 - 1)  # whose square is finite: beyond it there is no gradient, instead of NaN
        solved = clipped(solved, -most, most)
        factor, gap = solved[:, :-1], solved[:, -1]
        log_ratios = log_ratios - jnp.log(diagonal(prior))
    total = 0.5 * (jnp.sum(jnp.square(below_diagonal(factor, -1))) + jnp.sum(jnp.square(gap)) + jnp.sum(exp_remainder(2 * log_ratios)))
    if prior_factors is None:
        return total
    return select(singular, jnp.where(broken | jnp.isnan(total), jnp.nan, jnp.inf).astype(total.dtype), total)


@loss("(d),(d)->()", "real real", codebook="nonnegative", commitment="nonnegative")
def vector_quantization(
    encoded: Array, codes: Array, *, codebook: float = 1.0, commitment: float = 0.25, **reduce: Unpack[Reduce]
) -> Array:
    r"""Moves the chosen codes to the encoder's outputs and, more gently, the outputs to their codes.

    .. math::
        \ell = c_1 \operatorname{mean} (\operatorname{sg}(z) - e)^2 + c_2 \operatorname{mean} (z - \operatorname{sg}(e))^2
        \qquad c_1 = \text{codebook},\ c_2 = \text{commitment}

    The 0.25 is on the commitment: code that has it on the codebook (VQGAN's first version, diffusers' ``legacy``) commits four times as
    hard. The mean over the features, as every library takes it; the paper writes the sum.

    Args:
        encoded: Outputs of the encoder, z.
        codes: The code vector chosen for each, e, before the straight-through step.
        codebook: Weight of the term that moves the codes; 0 where they are running means.
        commitment: Weight of the term that moves the encoder.

    >>> vector_quantization(jnp.array([1.0, 2.0]), jnp.array([0.0, 0.0]))
    Array(3.125, dtype=float32)

    References:
        van den Oord, Vinyals, Kavukcuoglu, Neural Discrete Representation Learning, 2017. https://arxiv.org/abs/1711.00937
    """
    to_codes = mean_or_zero(jnp.square(lax.stop_gradient(encoded) - codes))
    to_encoder = mean_or_zero(jnp.square(encoded - lax.stop_gradient(codes)))
    return codebook * to_codes + commitment * to_encoder


@loss("(n),(n)->()", "real mask")
def iwae(
    log_weights: Array,
    mask: Array | None = None,
    *,
    alpha: float = 0.0,
    estimator: Literal["standard", "doubly_reparameterized"] = "standard",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""A tighter bound on the evidence, by several samples of the posterior.

    .. math::
        \ell = -\log \tfrac1n \sum_i w_i \qquad\text{or}\qquad -\frac{1}{1 - \alpha} \log \tfrac1n \sum_i w_i^{1 - \alpha}

    The second is Renyi's bound; its limit at ``alpha=1``, the mean of -log w, is the plain evidence bound. A log-weight of -inf is a sample
    of weight 0; if all are, the loss is +inf with gradient 0.

    Args:
        log_weights: ``log p(x, z_i) - log q(z_i | x)`` of each sample.
        mask: Which samples to use; all by default.
        alpha: The order of Renyi's bound; accurate near 1.
        estimator: ``"doubly_reparameterized"`` has the same value, but weighs the gradient of each log-weight with the square of
            its share, which lowers the variance of the encoder's gradient. It is for the encoder alone, with the parameters of
            log q (not of the sample) under `stop_gradient`; any `alpha` but 0 gives NaN.

    >>> iwae(jnp.log(jnp.array([0.5, 0.25, 0.75])))
    Array(0.6931472, dtype=float32)

    References:
        Burda, Grosse, Salakhutdinov, Importance Weighted Autoencoders, 2016. https://arxiv.org/abs/1509.00519
        Li, Turner, Renyi Divergence Variational Inference, 2016. https://arxiv.org/abs/1602.02311
        Tucker et al., Doubly Reparameterized Gradient Estimators, 2019. https://arxiv.org/abs/1810.04152
    """
    samples = group(log_weights, mask)
    weightless = samples.items == -jnp.inf
    present = ~weightless if mask is None else ~weightless & mask
    logs, exponent = select(present, samples.items, 0.0), 1 - alpha
    extreme = select(exponent < 0, -_largest(-logs, present), _largest(logs, present))
    powers = scaled_expm1(select(present, logs - extreme, 0.0), exponent)
    nothing = select(exponent > 0, -1 / select(exponent > 0, exponent, 1.0), 0.0)
    bound = extreme + scaled_log1p(samples.mean(select(weightless, nothing, powers)), exponent)
    if estimator == "doubly_reparameterized":
        shares = lax.stop_gradient(log_softmax(select(present, logs, -jnp.inf)))
        moved = samples.total(jnp.exp(2 * select(present, shares, 0.0)) * (logs - lax.stop_gradient(logs)))
        bound = select(exponent == 1, lax.stop_gradient(bound) + moved, jnp.nan)
    lost = samples.total(weightless.astype(logs.dtype)) > 0
    hopeless = ~jnp.any(present) | (lost & (exponent <= 0))
    return select(samples.none, 0.0, select(hopeless, jnp.inf, -bound))


@loss("(n,k),(n)->()", "real mask")
def information_maximization(
    logits: Array,
    mask: Array | None = None,
    *,
    diversity: float = 1.0,
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Each item is sure of its class, and together the items use all classes: minus their mutual information.

    .. math::
        \ell = \operatorname*{mean}_i H(p_i) - \text{diversity} \cdot H(\operatorname*{mean}_i p_i)
        \qquad p_i = \text{softmax}(\text{logits}_i)

    In nats, between -log k and log k. It is the entropy term of lookup-free quantisation (LFQ, MAGVIT-2, BSQ), and the loss of RIM and
    SHOT. An example is a whole set.

    Args:
        logits: Scores of the classes, or codes, for each item.
        mask: Which items to use; all by default.
        diversity: Weight of the entropy of the mean.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`: the mean runs over all devices.

    >>> information_maximization(jnp.array([[0.0, -jnp.inf], [-jnp.inf, 0.0]]))
    Array(-0.6931472, dtype=float32)

    References:
        Krause, Perona, Gomes, Discriminative Clustering by Regularized Information Maximization, 2010.
        https://papers.nips.cc/paper/4154-discriminative-clustering-by-regularized-information-maximization
        Yu et al., Language Model Beats Diffusion: Tokenizer is Key to Visual Generation, 2024. https://arxiv.org/abs/2310.05737
    """
    rows = group(logits, mask, negatives_axis_name)
    both = rows.mean_of(probabilities_and_entropy)
    return both[-1] + diversity * jnp.sum(xlogx(both[:-1]))


@loss("(n,k),(n)->()", "real mask")
def codebook_diversity(
    logits: Array,
    mask: Array | None = None,
    *,
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The share of the codebook that goes unused: 0 if all codes are used alike, near 1 if one is.

    .. math::
        \ell = 1 - \tfrac1k e^{H(\bar p)} \qquad \bar p = \operatorname*{mean}_i \text{softmax}(\text{logits}_i)

    The diversity loss of wav2vec 2.0; several groups of codes are a batch axis. An example is a whole set.

    Args:
        logits: Scores of the codes for each item.
        mask: Which items to use; all by default.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`: the mean runs over all devices.

    >>> codebook_diversity(jnp.array([[0.0, -jnp.inf], [0.0, -jnp.inf]]))
    Array(0.5, dtype=float32)

    References:
        Baevski et al., wav2vec 2.0, 2020. https://arxiv.org/abs/2006.11477
    """
    rows = group(logits, mask, negatives_axis_name)
    mean = rows.mean_of(lambda some: jnp.exp(log_softmax(some)))
    times, one = logits.shape[1] * mean, jnp.ones_like(mean)
    rare = times < 1e-6
    used = power_divergence(select(rare, one, times), one, one)
    missing = jnp.mean(select(rare, xlogx(select(rare, times, one)) - times + 1, used))  # log k less the entropy, never negative
    return select(rows.none, 0.0, -jnp.expm1(-missing))


@loss("(n,d)->()", "real")
def codebook_orthogonality(codes: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""How far the code vectors are from being orthogonal to each other.

    .. math::
        \ell = \frac{1}{n^2} \sum_{i,j} \cos^2(e_i, e_j) - \frac1n

    The diagonal is in the sum and taken off as a constant. A zero code is orthogonal to all, itself included, and has no gradient.

    Args:
        codes: The code vectors of a codebook.

    >>> codebook_orthogonality(jnp.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
    Array(0.22222221, dtype=float32)

    References:
        Shin, Lee, Hwang, Park, Kim, Translation-equivariant Image Quantizer for Bi-directional Image-Text Generation, 2021.
        https://arxiv.org/abs/2112.00384
    """
    n, narrow = codes.shape[0], codes.shape[1] < codes.shape[0]  # the squares of both products add up to the same
    gram = sum_over_blocks(lambda some: products_of_units(some, True), codes, 512) if narrow else products_of_units(codes, False)
    return jnp.sum(jnp.square(gram)) / n / n - 1 / n  # n * n as an integer leaves int32 at 65536 codes


@loss("(),()->()", "real unit")
def continuous_bernoulli_nll(logits: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The likelihood of pixels between 0 and 1 that `sigmoid_cross_entropy` only seems to be.

    .. math::
        \ell = \operatorname{softplus}(l) - t\,l - \log \frac{l}{\tanh(l/2)} = l\,(\tfrac12 - t) + \log \frac{\sinh(l/2)}{l/2}

    With the normalising constant of the continuous Bernoulli distribution, which a VAE on grey pixels needs. Exact everywhere: at l = 0 it
    is 0 and smooth, where other code switches to a polynomial. It has no lower bound: a density may be above 1.

    Args:
        logits: Logits of the parameter, l.
        targets: Values between 0 and 1, t.

    >>> continuous_bernoulli_nll(jnp.array([0.0, 2.0]), jnp.array([0.3, 1.0]), reduction="none")
    Array([ 0.        , -0.83856064], dtype=float32)

    References:
        Loaiza-Ganem, Cunningham, The Continuous Bernoulli, 2019. https://arxiv.org/abs/1907.06845
    """
    near = jnp.abs(logits) < 8
    middle = select(near, logits, 0.0)
    size = select(near, 8.0, jnp.abs(logits))
    gap = select(logits > 0, 1 - targets, targets)
    far = jnp.log1p(-jnp.exp(-size)) + times(gap, size)
    far = select(far == jnp.inf, far, far - jnp.log(size))
    return select(near, middle * (0.5 - targets) + log_sinhc(middle), select(jnp.isnan(logits), logits, far))


@loss("(*s),(*s)->()", "real real", epsilon="nonnegative")
def optimal_sigma_nll(predictions: Array, targets: Array, *, epsilon: float = 1e-12, **reduce: Unpack[Datum]) -> Array:
    r"""The Gaussian likelihood of a datum under the variance that suits it best: a reconstruction term that balances itself.

    .. math::
        \ell = \frac n2 \log\Bigl(\tfrac1n \sum_i (\text{predictions}_i - \text{targets}_i)^2 + \epsilon\Bigr)

    n numbers of one datum. Up to a constant it is `gaussian_nll` with one variance for all of them, at its optimum. The gradient is
    the error over the variance: it grows as the fit gets better, and is 0 at an exact match.

    Args:
        predictions: Reconstructions.
        targets: Data.
        epsilon: Added to the variance.

    >>> optimal_sigma_nll(jnp.array([[[2.0], [0.0]]]), jnp.zeros((1, 2, 1)))
    Array(0.6931472, dtype=float32)

    References:
        Rybkin, Daniilidis, Levine, Simple and Effective VAE Training with Calibrated Decoders, 2021. https://arxiv.org/abs/2006.13202
    """
    variance = mean_or_zero(jnp.square(predictions - targets)) + epsilon
    return predictions.size / 2 * safe_log(variance if predictions.size != 0 else jnp.ones_like(variance))


# Nodes and weights on 0..1, by whether numbers have 64 bits: in any dimension the sum is off by less than rounding.
RULES = {
    wide: [(x + shift) / 2 for x, shift in zip(np.polynomial.legendre.leggauss(n), (1, 0), strict=True)]
    for wide, n in ((False, 56), (True, 80))
}


@loss("()->()", "nonnegative")
@hint(blocks=64, keeps=32)
def von_mises_fisher_kl(concentrations: Array, *, dimension: int = 3, **reduce: Unpack[Reduce]) -> Array:
    r"""The divergence of a von Mises-Fisher distribution from the uniform one: the second term of a hyperspherical VAE.

    .. math::
        \ell = \kappa A(\kappa) - \log \int_0^\pi e^{\kappa \cos a} \frac{\sin^{d-2} a}{B(\frac{d-1}2, \frac12)}\, da
        \qquad A(\kappa) = \mathbb{E} \cos a,\ d = \text{dimension}

    By a sum over the angle, without Bessel functions, so that any dimension does. It does not depend on the mean direction. At 0 it is 0,
    with gradient 0, as k^2 / (2 d).

    Args:
        concentrations: Of the posterior.
        dimension: Of the space whose unit sphere the codes lie on; 2 or more.

    >>> von_mises_fisher_kl(jnp.array([0.0, 10.0]), reduction="none")
    Array([0.       , 1.9957323], dtype=float32)

    References:
        Davidson et al., Hyperspherical Variational Auto-Encoders, 2018. https://arxiv.org/abs/1804.00891
    """
    if dimension < 2:
        raise ValueError(f"von_mises_fisher_kl: `dimension` must be 2 or more, got {dimension}.")
    power, endless = float(dimension - 2), concentrations == jnp.inf
    kappa = select(endless, 0.0, concentrations)[..., None]
    known = lax.stop_gradient(kappa)
    width = jnp.hypot(power / 2, known)  # half the curvature of the logarithm at its peak
    total = jnp.maximum(power / 2 + width, 1e-30)
    peak = jnp.arctan2(jnp.sqrt(power / total), known / total)  # the cosine alone would round to 1
    reach = 13 * math.sqrt(0.5) / jnp.sqrt(jnp.maximum(width, 5e-4))
    low, high = jnp.maximum(peak - reach, 0.0), jnp.minimum(peak + reach, math.pi)
    points, shares = RULES[kappa.dtype == jnp.float64]
    nodes, parts = (jnp.asarray(x.reshape((1,) * concentrations.ndim + (-1,)), kappa.dtype) for x in (points, np.log(shares)))
    angles = low + (high - low) * nodes
    log_weights = power * jnp.log(jnp.sin(angles)) + parts + jnp.log(high - low)
    near = kappa < 1
    small = _small_concentration(select(near, kappa, 0.0), angles, log_weights)
    large = _large_concentration(select(near, 1.0, kappa), angles, log_weights, power)
    return select(endless, jnp.inf, select(near[..., 0], small, large))


def _balanced(
    name: str,
    divergence: Callable[[tuple[Array, ...], tuple[Array, ...] | None], Array],
    posterior: tuple[Array, ...],
    prior: tuple[Array, ...] | None,
    balance: Array | float | None,
) -> Array:
    """A divergence of which the prior gets a share of the gradient, and the posterior the rest."""
    if balance is None:
        return divergence(posterior, prior)
    if prior is None:
        raise ValueError(f"{name}: `balance` needs a prior that it can move; give one, or leave `balance` out.")
    to_prior, to_posterior = divergence(lax.stop_gradient(posterior), prior), divergence(posterior, lax.stop_gradient(prior))
    return select(jnp.isfinite(to_posterior), balance * to_prior + (1 - balance) * to_posterior, to_posterior)


def _relative_entropy(log_q: Array, log_p: Array) -> Array:
    """``sum q log(q / p)`` as a sum of terms of 0 or more, ``q log(q / p) - q + p``, each of which is 0 with gradient 0 at a match."""
    absent = log_q == -jnp.inf
    usable = ~absent & (log_p != -jnp.inf)
    q, p = select(usable, log_q, 0.0), select(usable, log_p, 0.0)
    ratio = q - p
    rare = ratio < -0.5
    common = jnp.exp(q) * exp_remainder(select(rare, 0.0, -ratio))
    below = select(rare, ratio, -1.0)
    terms = select(rare, jnp.exp(p) * (1 + jnp.exp(below) * (below - 1)), common)
    total = jnp.sum(select(absent, jnp.exp(select(absent, log_p, 0.0)), terms))
    return select(jnp.any((log_p == -jnp.inf) & ~absent & ~jnp.isnan(log_q)), jnp.inf, total)


def _largest(logs: Array, present: Array) -> Array:
    """The largest of those that are there, a constant; 0 if none is."""
    top = lax.stop_gradient(jnp.max(select(present, logs, -jnp.inf)))
    return select(top == -jnp.inf, 0.0, top)


def _small_concentration(kappa: Array, angles: Array, log_weights: Array) -> Array:
    """The divergence from how far the density is from 1, so that nothing of first order cancels."""
    uniform, cosines = jax.nn.softmax(lax.stop_gradient(log_weights)), jnp.cos(angles)
    excess = jnp.sum(uniform * exp_remainder(kappa * cosines), axis=-1)
    return kappa[..., 0] * jnp.sum(uniform * cosines * jnp.expm1(kappa * cosines), axis=-1) / (1 + excess) - jnp.log1p(excess)


def _large_concentration(kappa: Array, angles: Array, log_weights: Array, power: float) -> Array:
    """The divergence from the logarithm of the integral of ``exp(-2 k sin(a/2)**2) sin(a)**power``, and of that at 0."""
    gaps = 2 * jnp.square(jnp.sqrt(kappa) * jnp.sin(angles / 2))  # of large concentrations the sine alone has no square
    logits = log_weights - gaps
    total = logsumexp(logits, keepdims=True)
    uniform = math.lgamma((power + 1) / 2) + math.lgamma(0.5) - math.lgamma(power / 2 + 1)
    return uniform - total[..., 0] - jnp.sum(jnp.exp(logits - total) * gaps, axis=-1)
