"""Score matching: a network that estimates the gradient of a log-density, from data alone; and what follows such a gradient.

As in `denoising`, ``*s`` is one whole datum of three axes unless ``spatial_ndim=`` says otherwise. Losses are sums over it.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.loss import loss
from jloss._core.signature import Datum
from jloss.generative._numbers import times


@loss("(*s),(*s)->()", "real real", constants="direction")
def score_distillation(samples: Array, direction: Array, **reduce: Unpack[Datum]) -> Array:
    r"""Moves samples against a direction that no loss has as its gradient: SDS, DMD.

    .. math::
        \ell = \tfrac12 \sum \operatorname{sg}(\text{direction})^2 \qquad \frac{\partial \ell}{\partial\, \text{samples}} = \text{direction}

    The gradient is exactly the direction, divided by the size of the batch in a mean; the value only says how long it is. SDS takes
    ``w (epsilon_hat - epsilon)``, DMD the difference of two scores.

    Args:
        samples: What is optimised: rendered images, or a generator's outputs.
        direction: Where its gradient should point; a constant.

    >>> jax.grad(score_distillation)(jnp.zeros((1, 1, 2)), jnp.array([[[3.0, -4.0]]]))
    Array([[[ 3., -4.]]], dtype=float32)

    References:
        Poole, Jain, Barron, Mildenhall, DreamFusion: Text-to-3D using 2D Diffusion, 2023. https://arxiv.org/abs/2209.14988
        Yin et al., One-step Diffusion with Distribution Matching Distillation, 2024. https://arxiv.org/abs/2311.18828
    """
    direction = lax.stop_gradient(direction)
    return jnp.sum(jnp.square(direction)) / 2 + jnp.sum(direction * (samples - lax.stop_gradient(samples)))


@loss("(*s),(*s),()->()", "real real positive", constants="sigma")
def denoising_score_matching(scores: Array, noise: Array, sigma: Array, *, power: float = 2.0, **reduce: Unpack[Datum]) -> Array:
    r"""A score at a noisy datum should point back to the clean one.

    .. math::
        \ell = \tfrac12 \sigma^\text{power} \sum \Bigl(\text{scores} + \frac{\text{noise}}{\sigma}\Bigr)^2

    The sum over the datum ``x + sigma * noise``. A power of 2, the default, weighs all noise levels alike (NCSN) and needs no
    division: at sigma 0 it is half the squared noise. A power of 0 is the plain loss. Sigma has no gradient.

    Args:
        scores: Of the network at the noisy datum.
        noise: Standard normal noise.
        sigma: The noise level, one for each datum; a constant.
        power: Of sigma in the weight.

    >>> denoising_score_matching(jnp.full((1, 1, 2), 0.5), jnp.ones((1, 1, 2)), jnp.array(2.0))
    Array(4., dtype=float32)

    References:
        Vincent, A Connection Between Score Matching and Denoising Autoencoders, 2011. https://doi.org/10.1162/NECO_a_00142
        Song, Ermon, Generative Modeling by Estimating Gradients of the Data Distribution, 2019. https://arxiv.org/abs/1907.05600
    """
    sigma = lax.stop_gradient(sigma)
    return times(sigma ** (power - 2), jnp.sum(jnp.square(sigma * scores + noise)) / 2)


@loss("(*s),()->()", "real real")
def score_matching(scores: Array, divergences: Array, **reduce: Unpack[Datum]) -> Array:
    r"""Fits a score without any noise, by its divergence.

    .. math::
        \ell = \tfrac12 \sum \text{scores}^2 + \nabla \cdot \text{scores}

    The sum over the datum. It has no lower bound. The divergence is the trace of the score's Jacobian; with ``v . J v`` for a vector v of
    random signs, from `jax.jvp`, it is the variance-reduced form of `sliced_score_matching`.

    Args:
        scores: Of the network at a datum.
        divergences: Of the score there, one for each datum.

    >>> score_matching(-jnp.ones((1, 1, 2)), jnp.array(-2.0))
    Array(-1., dtype=float32)

    References:
        Hyvarinen, Estimation of Non-Normalized Statistical Models by Score Matching, 2005.
        https://www.jmlr.org/papers/v6/hyvarinen05a.html
    """
    return jnp.sum(jnp.square(scores)) / 2 + divergences


@loss("(*s),(*s),(*s)->()", "real real real", constants="projections")
def sliced_score_matching(scores: Array, directional: Array, projections: Array, **reduce: Unpack[Datum]) -> Array:
    r"""Score matching along random directions, which needs one derivative instead of a divergence.

    .. math::
        \ell = v \cdot J v + \tfrac12 (v \cdot \text{scores})^2 \qquad v = \text{projections},\ J v = \text{directional}

    The sum over the datum. It has no lower bound. Several projections are a batch axis.

    Args:
        scores: Of the network at a datum.
        directional: The derivative of the score along v: ``jax.jvp(score, (x,), (v,))[1]``.
        projections: Random vectors, of signs or normal; constants.

    >>> sliced_score_matching(-jnp.ones((1, 1, 2)), -jnp.ones((1, 1, 2)), jnp.ones((1, 1, 2)))
    Array(0., dtype=float32)

    References:
        Song, Garg, Shi, Ermon, Sliced Score Matching, 2019. https://arxiv.org/abs/1905.07088
    """
    v = lax.stop_gradient(projections)
    return jnp.sum(v * directional) + jnp.square(jnp.sum(v * scores)) / 2
