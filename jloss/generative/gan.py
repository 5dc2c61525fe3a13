"""Adversarial losses: a discriminator tells real from generated, and a generator learns from it.

All of them take logits (critic scores), never probabilities, from any discriminator: one per image, ``(8,)``, or one per patch,
``(8, 4, 4, 1)``. Real and fake have the same batch axes. Those of a generator that are linear in a logit have no lower bound: a
negative loss is no mistake.

What is a loss of another family already: R1 and R2 are half of `gradient_penalty` with ``target=0.0``, on real and on generated
examples; WGAN-GP and DRAGAN are it on interpolated and on perturbed ones. CycleGAN's cycle and identity terms and pix2pix's are
`absolute_error`, with weights of 10, 5 and 100. The class terms of ACGAN and InfoGAN are `cross_entropy`, InfoGAN's continuous one is
`gaussian_nll`, orthogonal regularisation is `orthogonal`, consistency regularisation is `squared_error` of logits, top-k GAN is `hardest`.
"""

from collections.abc import Callable
from typing import Literal, Unpack

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.generative._numbers import times
from jloss.generative._sets import Group, group
from jloss.numerics import logsumexp, positive_part, softplus

Criterion = Literal["logistic", "least_squares", "hinge"]
CRITERIA: dict[str, Callable[[Array], Array]] = {  # of a logit that should be large
    "logistic": lambda x: softplus(-x),
    "least_squares": lambda x: jnp.square(x - 1),
    "hinge": lambda x: positive_part(1 - x),
}


@loss("()->()", "real")
def non_saturating_generator(fake_logits: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The generator's side of the first GAN, as everyone trains it: a strong gradient where the discriminator is sure.

    .. math::
        \ell = -\log \sigma(f) = \operatorname{softplus}(-f) \qquad f = \text{fake\_logits}

    Its gradient is between -1, for images that are recognised as generated, and 0. Its discriminator is `minimax_discriminator`.

    Args:
        fake_logits: Scores of generated examples.

    >>> non_saturating_generator(jnp.array([0.0, -100.0]), reduction="none")
    Array([  0.6931472, 100.       ], dtype=float32)

    References:
        Goodfellow et al., Generative Adversarial Networks, 2014. https://arxiv.org/abs/1406.2661
    """
    return softplus(-fake_logits)


@loss("(),()->()", "real real", label_smoothing="unit")
def minimax_discriminator(real_logits: Array, fake_logits: Array, *, label_smoothing: float = 0.0, **reduce: Unpack[Reduce]) -> Array:
    r"""The discriminator of the first GAN: two binary cross entropies, added.

    .. math::
        \ell = \bigl(1 - \tfrac a2\bigr) \operatorname{softplus}(-r) + \tfrac a2 \operatorname{softplus}(r) + \operatorname{softplus}(f)
        \qquad a = \text{label\_smoothing}

    The sum of both halves, not their mean. One-sided smoothing lowers the target of real examples to 1 - a/2, as TF-GAN does (by 0.25
    unless told otherwise); generated ones are never smoothed. The Jensen-Shannon bound of mutual information is the same formula.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f.
        label_smoothing: Twice the share of the real target that is taken away.

    >>> minimax_discriminator(jnp.array(0.0), jnp.array(0.0))
    Array(1.3862944, dtype=float32)

    References:
        Goodfellow et al., Generative Adversarial Networks, 2014. https://arxiv.org/abs/1406.2661
        Salimans et al., Improved Techniques for Training GANs, 2016. https://arxiv.org/abs/1606.03498
    """
    share = label_smoothing / 2
    real = (1 - share) * softplus(-real_logits) + times(share, softplus(real_logits))
    return real + softplus(fake_logits)


@loss("(),()->()", "real real")
def hinge_discriminator(real_logits: Array, fake_logits: Array, *, margin: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Pushes real scores above the margin and generated ones below minus the margin, and no further.

    .. math::
        \ell = \max(0, \text{margin} - r) + \max(0, \text{margin} + f)

    The gradient is 0 from the corners on. Its generator is `wasserstein_generator`.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f.
        margin: The score that is enough.

    >>> hinge_discriminator(jnp.array([2.0, 0.5]), jnp.array([0.5, -2.0]), reduction="none")
    Array([1.5, 0.5], dtype=float32)

    References:
        Lim, Ye, Geometric GAN, 2017. https://arxiv.org/abs/1705.02894
        Miyato et al., Spectral Normalization for Generative Adversarial Networks, 2018. https://arxiv.org/abs/1802.05957
    """
    return positive_part(margin - real_logits) + positive_part(margin + fake_logits)


@loss("()->()", "real")
def wasserstein_generator(fake_logits: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Minus the critic's score: the generator of WGAN, of WGAN-GP, and of the hinge loss.

    .. math::
        \ell = -f \qquad f = \text{fake\_logits}

    It has no lower bound, and a constant gradient.

    Args:
        fake_logits: Scores of generated examples.

    >>> wasserstein_generator(jnp.array([1.0, 3.0]))
    Array(-2., dtype=float32)

    References:
        Arjovsky, Chintala, Bottou, Wasserstein GAN, 2017. https://arxiv.org/abs/1701.07875
    """
    return -fake_logits


@loss("(),()->()", "real real")
def wasserstein_discriminator(real_logits: Array, fake_logits: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The critic of WGAN: generated scores down, real ones up.

    .. math::
        \ell = f - r

    It has no lower bound: keep the critic's slope in check, by `gradient_penalty` or spectral normalisation.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f.

    >>> wasserstein_discriminator(jnp.array([2.0]), jnp.array([0.5]))
    Array(-1.5, dtype=float32)

    References:
        Arjovsky, Chintala, Bottou, Wasserstein GAN, 2017. https://arxiv.org/abs/1701.07875
    """
    return fake_logits - real_logits


@loss("()->()", "real")
def least_squares_generator(fake_logits: Array, *, target: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Half the squared distance of generated scores from the target.

    .. math::
        \ell = \tfrac12 (f - \text{target})^2

    With the half of the paper and of TF-GAN; CycleGAN, BasicSR, HiFi-GAN and DAC leave it out.

    Args:
        fake_logits: Scores of generated examples, f.
        target: The score that the generator wants.

    >>> least_squares_generator(jnp.array([1.0, -1.0]), reduction="none")
    Array([0., 2.], dtype=float32)

    References:
        Mao et al., Least Squares Generative Adversarial Networks, 2017. https://arxiv.org/abs/1611.04076
    """
    return jnp.square(fake_logits - target) / 2


@loss("(),()->()", "real real")
def least_squares_discriminator(
    real_logits: Array, fake_logits: Array, *, real_target: float = 1.0, fake_target: float = 0.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Half the squared distances of real and generated scores from a target each.

    .. math::
        \ell = \tfrac12 (r - \text{real\_target})^2 + \tfrac12 (f - \text{fake\_target})^2

    Scores that are right by too much cost, too, so its gradient does not vanish far from the boundary. The paper's second choice are
    the targets 1 and -1, with 0 for `least_squares_generator`. Other code drops the halves.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f.
        real_target: The score that real examples should have.
        fake_target: The score that generated examples should have.

    >>> least_squares_discriminator(jnp.array([3.0]), jnp.array([1.0]))
    Array(2.5, dtype=float32)

    References:
        Mao et al., Least Squares Generative Adversarial Networks, 2017. https://arxiv.org/abs/1611.04076
    """
    return jnp.square(real_logits - real_target) / 2 + jnp.square(fake_logits - fake_target) / 2


@loss("(),()->()", "real real")
def relativistic_discriminator(
    real_logits: Array, fake_logits: Array, *, criterion: Criterion = "logistic", **reduce: Unpack[Reduce]
) -> Array:
    r"""A real example should score higher than the generated one it is paired with.

    .. math::
        \ell = c(r - f) \qquad c(x) = \operatorname{softplus}(-x),\ (x - 1)^2,\ \max(0, 1 - x)

    R3GAN is the logistic one with half of two `gradient_penalty` with ``target=0.0``. Pairs are made by index.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f.
        criterion: ``"logistic"``, ``"least_squares"`` or ``"hinge"``: c.

    >>> relativistic_discriminator(jnp.array([3.0]), jnp.array([2.5]), criterion="hinge")
    Array(0.5, dtype=float32)

    References:
        Jolicoeur-Martineau, The Relativistic Discriminator, 2018. https://arxiv.org/abs/1807.00734
        Huang et al., The GAN Is Dead; Long Live the GAN!, 2024. https://arxiv.org/abs/2501.05441
    """
    return CRITERIA[criterion](real_logits - fake_logits)


@loss("(),()->()", "real real")
def relativistic_generator(real_logits: Array, fake_logits: Array, *, criterion: Criterion = "logistic", **reduce: Unpack[Reduce]) -> Array:
    r"""A generated example should score higher than the real one it is paired with.

    .. math::
        \ell = c(f - r) \qquad c(x) = \operatorname{softplus}(-x),\ (x - 1)^2,\ \max(0, 1 - x)

    `relativistic_discriminator` with the sides exchanged. Real scores have a gradient, too; of what generates them only the
    discriminator, which is not trained here.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f.
        criterion: ``"logistic"``, ``"least_squares"`` or ``"hinge"``: c.

    >>> relativistic_generator(jnp.array([0.0]), jnp.array([0.0]))
    Array(0.6931472, dtype=float32)

    References:
        Jolicoeur-Martineau, The Relativistic Discriminator, 2018. https://arxiv.org/abs/1807.00734
        Huang et al., The GAN Is Dead; Long Live the GAN!, 2024. https://arxiv.org/abs/2501.05441
    """
    return CRITERIA[criterion](fake_logits - real_logits)


@loss("(n),(m),(n),(m)->()", "real real mask mask")
def relativistic_average_discriminator(
    real_logits: Array,
    fake_logits: Array,
    real_mask: Array | None = None,
    fake_mask: Array | None = None,
    *,
    criterion: Criterion = "logistic",
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Real examples should score higher than generated ones on average, and the other way round.

    .. math::
        \ell = \operatorname*{mean}_i c(r_i - \bar f) + \operatorname*{mean}_j c(\bar r - f_j)
        \qquad c(x) = \operatorname{softplus}(-x),\ (x - 1)^2,\ \max(0, 1 - x)

    An example is a whole set of scores. Both averages are differentiated, and both terms added, as in the papers and TF-GAN; ESRGAN's
    code halves the sum. A set of no items costs 0.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f; there may be more or fewer of them.
        real_mask: Which real examples to use; all by default.
        fake_mask: Which generated examples to use; all by default.
        criterion: ``"logistic"``, ``"least_squares"`` or ``"hinge"``: c.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`.

    >>> relativistic_average_discriminator(jnp.array([1.0, 3.0]), jnp.array([0.0, 2.0, 1.0]), criterion="hinge")
    Array(0.8333334, dtype=float32)

    References:
        Jolicoeur-Martineau, The Relativistic Discriminator, 2018. https://arxiv.org/abs/1807.00734
    """
    real, fake = group(real_logits, real_mask, negatives_axis_name), group(fake_logits, fake_mask, negatives_axis_name)
    return _relativistic_average(real, fake, CRITERIA[criterion])


@loss("(n),(m),(n),(m)->()", "real real mask mask")
def relativistic_average_generator(
    real_logits: Array,
    fake_logits: Array,
    real_mask: Array | None = None,
    fake_mask: Array | None = None,
    *,
    criterion: Criterion = "logistic",
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Generated examples should score higher than real ones on average, and the other way round.

    .. math::
        \ell = \operatorname*{mean}_i c(\bar f - r_i) + \operatorname*{mean}_j c(f_j - \bar r)
        \qquad c(x) = \operatorname{softplus}(-x),\ (x - 1)^2,\ \max(0, 1 - x)

    `relativistic_average_discriminator` with the sides exchanged; both terms count (code that has only one of them is another loss).

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f; there may be more or fewer of them.
        real_mask: Which real examples to use; all by default.
        fake_mask: Which generated examples to use; all by default.
        criterion: ``"logistic"``, ``"least_squares"`` or ``"hinge"``: c.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`.

    >>> relativistic_average_generator(jnp.array([1.0, 3.0]), jnp.array([0.0, 2.0, 1.0]), criterion="hinge")
    Array(4., dtype=float32)

    References:
        Jolicoeur-Martineau, The Relativistic Discriminator, 2018. https://arxiv.org/abs/1807.00734
    """
    real, fake = group(real_logits, real_mask, negatives_axis_name), group(fake_logits, fake_mask, negatives_axis_name)
    return _relativistic_average(fake, real, CRITERIA[criterion])


@loss("()->()", "real")
def minimax_generator(fake_logits: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The generator's side of the minimax game as it was first written; for reference.

    .. math::
        \ell = \log(1 - \sigma(f)) = -\operatorname{softplus}(f) \qquad f = \text{fake\_logits}

    It saturates: where the discriminator is sure that an example is generated, the gradient is 0. Train with `non_saturating_generator`.

    Args:
        fake_logits: Scores of generated examples.

    >>> minimax_generator(jnp.array(0.0))
    Array(-0.6931472, dtype=float32)

    References:
        Goodfellow et al., Generative Adversarial Networks, 2014. https://arxiv.org/abs/1406.2661
    """
    return -softplus(fake_logits)


@loss("(n),(m),(n),(m)->()", "real real mask mask")
def dual_contrastive(
    real_logits: Array,
    fake_logits: Array,
    real_mask: Array | None = None,
    fake_mask: Array | None = None,
    *,
    negatives_axis_name: str | tuple[str, ...] | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Each real example is told from all generated ones by a softmax, and each generated one from all real ones.

    .. math::
        \ell = \operatorname*{mean}_i \log\Bigl(1 + \sum_j e^{f_j - r_i}\Bigr)
        + \operatorname*{mean}_j \log\Bigl(1 + \sum_i e^{f_j - r_i}\Bigr)

    For the discriminator; the generator minimises the same with the arguments exchanged. A set of no items costs 0.

    Args:
        real_logits: Scores of real examples, r.
        fake_logits: Scores of generated examples, f; there may be more or fewer of them.
        real_mask: Which real examples to use; all by default.
        fake_mask: Which generated examples to use; all by default.
        negatives_axis_name: Mesh axis over which the set lies, inside `jax.shard_map`.

    >>> dual_contrastive(jnp.zeros(3), jnp.zeros(1))
    Array(2.0794415, dtype=float32)

    References:
        Yu et al., Dual Contrastive Loss and Attention for GANs, 2021. https://arxiv.org/abs/2103.16748
    """
    real, fake = group(real_logits, real_mask, negatives_axis_name), group(fake_logits, fake_mask, negatives_axis_name)
    if 0 in (real_logits.shape[0], fake_logits.shape[0]):
        return jnp.zeros((), real_logits.dtype)
    fakes = logsumexp(fake.absent(-jnp.inf), axis_name=negatives_axis_name)
    reals = logsumexp(-real.absent(jnp.inf), axis_name=negatives_axis_name)
    total = real.mean(softplus(fakes - real.items)) + fake.mean(softplus(reals + fake.items))
    return select(real.none | fake.none, 0.0, total)


def _relativistic_average(above: Group, below: Group, criterion: Callable[[Array], Array]) -> Array:
    """What it costs that the scores of the first group are not all above the mean of the second, and the other way round."""
    high, low = above.mean(above.items), below.mean(below.items)
    total = above.mean(criterion(above.items - low)) + below.mean(criterion(high - below.items))
    return select(above.none | below.none, 0.0, total)
