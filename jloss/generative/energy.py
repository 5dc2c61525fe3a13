"""Unnormalised models: energies of data against samples, noise-contrastive estimation, bounds of mutual information.

The InfoNCE bound is `info_nce`, that of Deep InfoMax (Jensen-Shannon) `minimax_discriminator`; JEM is `cross_entropy` plus
`contrastive_divergence`.
"""

import math
from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import is_known_zero, select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.generative._numbers import times
from jloss.generative._sets import group
from jloss.numerics import log_partition, safe_exp, softplus


@loss("(),()->()", "real real", alpha="nonnegative")
def contrastive_divergence(data_energies: Array, sample_energies: Array, *, alpha: float = 0.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Low energy to data, high energy to the model's own samples.

    .. math::
        \ell = E_+ - E_- + \alpha (E_+^2 + E_-^2)

    Its gradient is that of the negative log-likelihood if the samples are the model's. It has no lower bound without `alpha`, which keeps
    energies small. Samples come from your sampler, under `stop_gradient`.

    Args:
        data_energies: Of data.
        sample_energies: Of samples of the model.
        alpha: Weight of the squared energies.

    >>> contrastive_divergence(jnp.array(1.0), jnp.array(3.0), alpha=0.5)
    Array(3., dtype=float32)

    References:
        Hinton, Training Products of Experts by Minimizing Contrastive Divergence, 2002. https://doi.org/10.1162/089976602760128018
        Du, Mordatch, Implicit Generation and Generalization in Energy-Based Models, 2019. https://arxiv.org/abs/1903.08689
    """
    difference = data_energies - sample_energies
    if is_known_zero(alpha):
        return difference
    return difference + times(alpha, jnp.square(data_energies) + jnp.square(sample_energies))


@loss("(),(),(m),(m)->()", "real real real real")
def noise_contrastive_estimation(
    data_scores: Array, data_log_noise: Array, noise_scores: Array, noise_log_noise: Array, **reduce: Unpack[Reduce]
) -> Array:
    r"""Tells a datum from m samples of known noise; the scores become normalised log-probabilities by themselves.

    .. math::
        \ell = \operatorname{softplus}(-a) + \sum_j \operatorname{softplus}(b_j) \qquad
        a = s(x) - \log(m\, q(x)),\ b_j = s(y_j) - \log(m\, q(y_j))

    The number of noise samples stands inside the logarithm. Without noise samples there is nothing to tell apart: 0.

    Args:
        data_scores: Unnormalised log-probabilities of the data, s(x).
        data_log_noise: Log-probabilities of the data under the noise, log q(x).
        noise_scores: Unnormalised log-probabilities of the noise samples.
        noise_log_noise: Log-probabilities of the noise samples under the noise.

    >>> noise_contrastive_estimation(jnp.array(0.0), jnp.array(0.0), jnp.zeros(1), jnp.zeros(1))
    Array(1.3862944, dtype=float32)

    References:
        Gutmann, Hyvarinen, Noise-Contrastive Estimation, 2010. https://proceedings.mlr.press/v9/gutmann10a.html
        Mnih, Teh, A Fast and Simple Algorithm for Training Neural Probabilistic Language Models, 2012.
        https://arxiv.org/abs/1206.6426
    """
    m = noise_scores.shape[0]
    if m == 0:
        return jnp.zeros_like(data_scores)
    data, noise = data_scores - data_log_noise - math.log(m), noise_scores - noise_log_noise - math.log(m)
    return softplus(-data) + jnp.sum(softplus(noise))


@loss("(n),(m),(n),(m)->()", "real real mask mask", clip="nonnegative")
def donsker_varadhan(
    joint_scores: Array,
    marginal_scores: Array,
    joint_mask: Array | None = None,
    marginal_mask: Array | None = None,
    *,
    clip: Array | float | None = None,
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Minus a lower bound of the mutual information, in nats: MINE, and with `clip` SMILE.

    .. math::
        \ell = \log \operatorname*{mean}_j e^{T(\text{marginal}_j)} - \operatorname*{mean}_i T(\text{joint}_i)

    An example is a whole set. In small batches its gradient is biased (MINE's running mean is not in it). Clipped scores have no gradient.
    A side without items: 0.

    Args:
        joint_scores: Scores T of true pairs.
        marginal_scores: Scores of pairs that do not belong together; there may be more or fewer.
        joint_mask: Which true pairs to use; all by default.
        marginal_mask: Which other pairs to use; all by default.
        clip: The largest size of a marginal score; unlimited if None.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`.

    >>> donsker_varadhan(jnp.array([2.0]), jnp.log(jnp.array([0.5, 1.5])))
    Array(-2., dtype=float32)

    References:
        Belghazi et al., Mutual Information Neural Estimation, 2018. https://arxiv.org/abs/1801.04062
        Song, Ermon, Understanding the Limitations of Variational Mutual Information Estimators, 2020. https://arxiv.org/abs/1910.06222
    """
    joint = group(joint_scores, joint_mask, negatives_axis_name)
    if clip is not None:
        inside = (jnp.abs(marginal_scores) < clip) | jnp.isnan(marginal_scores)
        marginal_scores = select(inside, marginal_scores, select(marginal_scores > 0, clip, -clip))
    marginal = group(marginal_scores, marginal_mask, negatives_axis_name)
    if marginal_scores.shape[0] == 0:
        return jnp.zeros((), joint_scores.dtype)
    count = jnp.where(marginal.none, 1, marginal.number).astype(joint_scores.dtype)
    log_total, peak = log_partition(marginal.absent(-jnp.inf), axis_name=negatives_axis_name)
    bound = log_total[0] - jnp.log(count) + (peak[0] - joint.mean(joint.items))  # large scores cancel first
    return select(joint.none | marginal.none, 0.0, bound)


@loss("(n),(m),(n),(m)->()", "real real mask mask")
def nwj(
    joint_scores: Array,
    marginal_scores: Array,
    joint_mask: Array | None = None,
    marginal_mask: Array | None = None,
    *,
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Minus a lower bound of the mutual information, in nats, whose gradient has no bias: f-MINE, TUBA.

    .. math::
        \ell = \operatorname*{mean}_j e^{T(\text{marginal}_j) - 1} - \operatorname*{mean}_i T(\text{joint}_i)

    Looser than `donsker_varadhan`, and of high variance where the information is large. An example is a whole set. A side without items: 0.

    Args:
        joint_scores: Scores T of true pairs.
        marginal_scores: Scores of pairs that do not belong together; there may be more or fewer.
        joint_mask: Which true pairs to use; all by default.
        marginal_mask: Which other pairs to use; all by default.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`.

    >>> nwj(jnp.array([1.0, 2.0]), jnp.array([1.0]))
    Array(-0.5, dtype=float32)

    References:
        Nguyen, Wainwright, Jordan, Estimating Divergence Functionals and the Likelihood Ratio, 2010. https://arxiv.org/abs/0809.0853
        Poole et al., On Variational Bounds of Mutual Information, 2019. https://arxiv.org/abs/1905.06922
    """
    joint = group(joint_scores, joint_mask, negatives_axis_name)
    marginal = group(marginal_scores, marginal_mask, negatives_axis_name)
    bound = marginal.mean(safe_exp(marginal.items - 1)) - joint.mean(joint.items)
    return select(joint.none | marginal.none, 0.0, bound)
