r"""Values as distributions: of returns by quantiles or on a grid of atoms, or of one number spread over a grid.

Targets, with all that they are made of, are under `stop_gradient`. Atoms rise and need not be equally spaced.
"""

from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.axes import batch_shape
from jloss._core.backend import by_platform, hint, select
from jloss._core.domains import arithmetic_dtype
from jloss._core.functions import compiled
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import absolute, clipped, log_softmax, safe_divide
from jloss.reinforcement.returns import discounted


@loss("(q),(m),(q)->()", "real real unit", constants="targets", kappa="nonnegative")
@hint(needs={"q": "quantiles"})
def quantile_td(quantiles: Array, targets: Array, levels: Array | None = None, *, kappa: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Quantiles of the return learn those of samples of it: distributional Q-learning (QR-DQN, IQN).

    .. math::
        \ell = \sum_i \frac{1}{m} \sum_j \bigl|\tau_i - [u_{ij} < 0]\bigr|\, \frac{H_\kappa(u_{ij})}{\kappa}
        \qquad u_{ij} = \text{targets}_j - \text{quantiles}_i

    with the Huber loss H; ``kappa=0`` is the absolute value, with gradient 0 at a match. The division by kappa is IQN's; the
    QR-DQN paper and rlax leave it out. No target is 0.

    Args:
        quantiles: Predicted quantiles of the return of the action taken.
        targets: Samples or quantiles of ``reward + discount * next return``; no gradient.
        levels: What share of returns lies below each quantile; the middles of equal parts by default.
        kappa: Where the square becomes linear.

    >>> quantile_td(jnp.array([0.0, 1.0]), jnp.array([2.0]))
    Array(0.75, dtype=float32)

    References:
        Dabney et al., Distributional Reinforcement Learning with Quantile Regression, 2018. https://arxiv.org/abs/1710.10044
        Dabney et al., Implicit Quantile Networks, 2018. https://arxiv.org/abs/1806.06923
    """
    count = quantiles.shape[0]
    if levels is None:
        levels = (jnp.arange(count).astype(quantiles.dtype) + 0.5) / count
    errors = lax.stop_gradient(targets)[None, :] - quantiles[:, None]
    sizes = absolute(errors)
    is_near = sizes <= kappa
    squares = safe_divide(jnp.square(jnp.where(is_near, errors, 0.0)), jnp.asarray(2 * kappa, errors.dtype))
    huber = jnp.where(is_near, squares, sizes - 0.5 * kappa)
    weights = jnp.where(errors < 0, 1 - levels[:, None], levels[:, None])
    return jnp.sum(weights * huber) / max(targets.shape[0], 1)


@loss("(q),(q),(),(),(q)->()", "real real real unit rising", constants="next_logits rewards discounts atoms")
@hint(time="q^2", needs={"q": "atoms"})
def categorical_td(logits: Array, next_logits: Array, rewards: Array, discounts: Array, atoms: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Cross entropy with the distribution of the next return, shifted, shrunk and projected onto the atoms (C51).

    .. math::
        \ell = -\sum_i p_i \log \operatorname{softmax}(\text{logits})_i \qquad
        p = \operatorname{project}\bigl(r + \gamma \cdot \text{atoms},\ \operatorname{softmax}(\text{next\_logits})\bigr)

    with `categorical_projection`. Logits are those of the action taken, and of the best next action.

    Args:
        logits: Of the return of the action taken.
        next_logits: Of the return of the next action; no gradient.
        rewards: What came of the action.
        discounts: Of what follows; 0 at the end of an episode.
        atoms: The returns that the classes stand for, rising.

    >>> categorical_td(jnp.zeros(3), jnp.zeros(3), 0.5, 0.0, jnp.array([-1.0, 0.0, 1.0]))
    Array(1.0986123, dtype=float32)

    References:
        Bellemare, Dabney, Munos, A Distributional Perspective on Reinforcement Learning, 2017. https://arxiv.org/abs/1707.06887
    """
    points = rewards + discounted(discounts, atoms)
    next_logits = jnp.where(discounts == 0, 0.0, next_logits)  # all points are the reward, whatever is stored behind the end
    target = categorical_projection(points, jnp.exp(log_softmax(next_logits)), atoms)
    return cross_entropy_with(target, logits)


@loss("(q),(),(q)->()", "real real rising", constants="targets atoms")
@hint(needs={"q": "atoms"})
def two_hot(logits: Array, targets: Array, atoms: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Regression as classification: a number is shared by the two atoms around it (MuZero, Dreamer).

    .. math::
        \ell = -\sum_i p_i \log \operatorname{softmax}(\text{logits})_i \qquad
        p_j = \frac{a_{j+1} - y}{a_{j+1} - a_j},\ p_{j+1} = 1 - p_j \quad (a_j \le y \le a_{j+1})

    The prediction is ``sum(softmax(logits) * atoms)``. A target beyond an end counts as that end.

    Args:
        logits: Of the atoms.
        targets: True values, usually squashed; no gradient.
        atoms: The numbers that the classes stand for, rising.

    >>> two_hot(jnp.log(jnp.array([0.5, 0.25, 0.25])), 0.5, jnp.array([0.0, 1.0, 2.0]))
    Array(1.0397208, dtype=float32)

    References:
        Schrittwieser et al., Mastering Atari, Go, Chess and Shogi by Planning with a Learned Model, 2020. https://arxiv.org/abs/1911.08265
    """
    return cross_entropy_with(categorical_projection(targets[None], jnp.ones_like(targets)[None], atoms), logits)


@loss("(q),(),(q+1)->()", "real real rising", constants="targets edges", sigma="positive")
@hint(needs={"q": "bins"})
def hl_gauss(logits: Array, targets: Array, edges: Array, *, sigma: float = 0.75, **reduce: Unpack[Reduce]) -> Array:
    r"""Regression as classification with a blurred target: neighbouring bins share a Gaussian, so they learn from each other.

    .. math::
        \ell = -\sum_i p_i \log \operatorname{softmax}(\text{logits})_i \qquad
        p_i \propto \Phi\Bigl(\frac{e_{i+1} - y}{\sigma}\Bigr) - \Phi\Bigl(\frac{e_i - y}{\sigma}\Bigr)

    The prediction is the mean of the bins' middles. A target beyond the edges counts as the nearest one. Where `two_hot` learns
    slowly: its targets say nothing about bins further away.

    Args:
        logits: Of the bins.
        targets: True values; no gradient.
        edges: Where the bins begin and end, rising; one more than bins.
        sigma: Of the Gaussian, in units of the edges; three quarters of a bin is usual.

    >>> hl_gauss(jnp.zeros(4), 1.3, jnp.arange(5.0))
    Array(1.3862944, dtype=float32)

    References:
        Farebrother et al., Stop Regressing: Training Value Functions via Classification for Scalable Deep RL, 2024.
        https://arxiv.org/abs/2403.03950
    """
    scaled = lax.stop_gradient(edges - jnp.clip(targets, edges[0], edges[-1])) / sigma
    mass = normal_mass(scaled[:-1], scaled[1:])
    return cross_entropy_with(lax.stop_gradient(safe_divide(mass, jnp.sum(mass))), logits)


@compiled()
def categorical_projection(points: Array, probs: Array, atoms: Array) -> Array:
    r"""Probabilities of points, shared by the two atoms around each: the mean stays, where points lie between the ends.

    .. math::
        p'_j = \sum_i p_i (u_{j-1, i} - u_{j, i}) \qquad
        u_{j, i} = \operatorname{clip}\Bigl(\frac{\text{points}_i - a_j}{a_{j+1} - a_j}, 0, 1\Bigr)

    A point beyond an end belongs to that end. Differentiable; a loss takes it as a constant.

    Args:
        points: Where the probabilities lie, ``(..., m)``.
        probs: The probabilities, ``(..., m)``.
        atoms: Where they are to lie, rising, ``(..., q)`` or ``(q,)``.

    >>> categorical_projection(jnp.array([0.25, 5.0]), jnp.array([0.5, 0.5]), jnp.array([0.0, 1.0, 2.0]))
    Array([0.375, 0.125, 0.5  ], dtype=float32)

    References:
        Bellemare, Dabney, Munos, A Distributional Perspective on Reinforcement Learning, 2017. https://arxiv.org/abs/1707.06887
    """
    points, probs, atoms = (jnp.asarray(a) for a in (points, probs, atoms))
    dtype = arithmetic_dtype((points, probs, atoms))
    points, probs, atoms = (a.astype(dtype) for a in (points, probs, atoms))
    given = {"points": points, "probs": probs, "atoms": atoms}
    batch_shape("categorical_projection", {"points": ("m",), "probs": ("m",), "atoms": ("q",)}, given)
    project = jnp.vectorize(_projected, signature="(m),(m),(q)->(q)")
    return project(points, probs, jnp.expand_dims(atoms, range(points.ndim - atoms.ndim)))


def _projected(points: Array, probs: Array, atoms: Array) -> Array:
    """Points and atoms of one distribution. CPUs look up the neighbours of a point: a tenth of the time of all pairs, of 51 atoms."""
    points = jnp.where(points < atoms[0], atoms[0], jnp.where(points > atoms[-1], atoms[-1], points))
    return by_platform(points, probs, atoms, cpu=_by_neighbours, default=_by_pairs)


def _by_neighbours(points: Array, probs: Array, atoms: Array) -> Array:
    left = jnp.clip(jnp.searchsorted(atoms, points, side="right") - 1, 0, atoms.shape[0] - 2)
    share = safe_divide(points - atoms[left], atoms[left + 1] - atoms[left])
    return jnp.zeros_like(atoms).at[left].add(probs * (1 - share)).at[left + 1].add(probs * share)


def _by_pairs(points: Array, probs: Array, atoms: Array) -> Array:
    gaps = atoms[1:] - atoms[:-1]
    shares = clipped((points[None, :] - atoms[:-1, None]) * safe_divide(jnp.ones_like(gaps), gaps)[:, None], 0.0, 1.0)
    beyond = jnp.where(points[None, :] >= atoms[1:, None], 1.0, shares)  # a gap times one over it may be less than 1
    ones = jnp.ones_like(points)[None]
    above, below = jnp.concatenate([ones, beyond]), jnp.concatenate([beyond, jnp.zeros_like(ones)])
    return jnp.sum(probs[None] * (above - below), axis=-1)


def cross_entropy_with(target: Array, logits: Array) -> Array:
    """Cross entropy with probabilities that are constants; a class of probability 0 may have a logit of -inf."""
    target = lax.stop_gradient(target)
    return -jnp.sum(target * select(target == 0, 0.0, log_softmax(logits)))


def normal_mass(low: Array, high: Array) -> Array:
    """The probability of an interval under the normal distribution, also far out, where both ends have rounded to 0 or to 1."""
    low, high = low / jnp.sqrt(2.0).astype(low.dtype), high / jnp.sqrt(2.0).astype(low.dtype)
    erf, erfc = jax.scipy.special.erf, jax.scipy.special.erfc
    outer = select(low > 0, erfc(low) - erfc(high), erfc(-high) - erfc(-low))
    return 0.5 * select((low < 1) & (high > -1), erf(high) - erf(low), outer)
