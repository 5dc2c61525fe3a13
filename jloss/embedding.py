"""Metric learning on pairs and triplets of embeddings with `d` features; see `similarity` for sets, `prototypes` for classes.

The batch losses look for their triplets among the `n` items of a set, with static shapes: one set is one example.
"""

from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._loss import Reduce, loss
from jloss._math import absolute, normalize, positive_part, safe_norm, safe_sqrt, softplus


@loss("(d),(d)->()", "real real")
def cosine_distance(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""One minus the cosine of the angle between two vectors; their lengths do not matter.

    .. math::
        \ell = 1 - \frac{\text{predictions} \cdot \text{targets}}{|\text{predictions}|\,|\text{targets}|}

    Between 0 and 2, and exact to the last digit also for tiny angles, where a plain ``1 - cos`` cancels. A zero vector is at
    distance 1 from everything, with gradient 0; in optax it gives NaN by default.

    Args:
        predictions: Vectors.
        targets: Vectors.

    >>> cosine_distance(jnp.array([[1.0, 0.0], [1.0, 1.0]]), jnp.array([[3.0, 0.0], [-1.0, 1.0]]), reduction="none")
    Array([0., 1.], dtype=float32)

    References:
        Salton, Wong, Yang, A Vector Space Model for Automatic Indexing, 1975. https://doi.org/10.1145/361219.361220
    """
    return _cosine_distance(predictions, targets)


@loss("(d),(d)->()", "real real")
def squared_euclidean(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared Euclidean distance of two vectors: the sum, not the mean, over their features.

    .. math::
        \ell = \sum_j (\text{predictions}_j - \text{targets}_j)^2

    Its gradient grows with the distance, so far pairs dominate; for directions only, use `cosine_distance`.

    Args:
        predictions: Vectors.
        targets: Vectors.

    >>> squared_euclidean(jnp.array([3.0, 0.0]), jnp.array([0.0, 4.0]))
    Array(25., dtype=float32)

    References:
        Bishop, Pattern Recognition and Machine Learning, 2006. https://www.microsoft.com/en-us/research/people/cmbishop/prml-book/
    """
    return jnp.sum(jnp.square(predictions - targets))


@loss("(d),(d),()->()", "real real sign")
def cosine_embedding(first: Array, second: Array, signs: Array, *, margin: float = 0.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Pulls similar pairs to the same direction, pushes others until their cosine is below `margin`.

    .. math::
        \ell = \begin{cases} 1 - \cos(\text{first}, \text{second}) & \text{signs} = 1 \\
        \max(0, \cos(\text{first}, \text{second}) - \text{margin}) & \text{signs} = -1 \end{cases}

    CosineEmbeddingLoss in torch. A dissimilar pair below the margin, and on it, has gradient 0; so has a zero vector, whose
    cosine with everything is 0.

    Args:
        first: Vectors.
        second: Vectors.
        signs: +1 for a similar pair, -1 for a dissimilar one.
        margin: The cosine that dissimilar pairs may have; between -1 and 1, best in 0 to 0.5.

    >>> cosine_embedding(jnp.array([[1.0, 0.0], [3.0, 4.0]]), jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.array([1, -1]), reduction="none")
    Array([1. , 0.6], dtype=float32)

    References:
        Hadsell, Chopra, LeCun, Dimensionality Reduction by Learning an Invariant Mapping, 2006. https://doi.org/10.1109/CVPR.2006.100
    """
    distance = _cosine_distance(first, second)
    return jnp.where(signs > 0, distance, positive_part(1 - distance - margin))


@loss("(d),(d),(d)->()", "real real real", p="positive")
def triplet_margin(
    anchors: Array,
    positives: Array,
    negatives: Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    swap: bool = False,
    soft: bool = False,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""An anchor should be nearer to its positive than to its negative, by `margin`.

    .. math::
        \ell = \max(0,\ |\text{anchors} - \text{positives}|_p - |\text{anchors} - \text{negatives}|_p + \text{margin})

    A triplet that keeps the margin has gradient 0; coinciding vectors give their distance gradient 0. Distances are exact:
    torch and optax add 1e-6 to the differences, and optax is right for ``p = 2`` only. To let the loss choose the triplets
    in a batch, see `batch_hard_triplet`.

    Args:
        anchors: Vectors.
        positives: Vectors of the anchors' classes.
        negatives: Vectors of other classes.
        margin: By how much farther the negative should be, in units of the distance.
        p: The norm of the differences, 1 or more; `jnp.inf` for the largest component. It has no gradient.
        swap: Whether the negative counts at its distance to the positive where that is smaller.
        soft: Whether softplus takes the place of ``max(0, ...)``, so that satisfied triplets keep pulling a little.

    >>> triplet_margin(jnp.array([0.0, 0.0]), jnp.array([3.0, 4.0]), jnp.array([0.0, 4.5]))
    Array(1.5, dtype=float32)

    References:
        Schroff, Kalenichenko, Philbin, FaceNet: A Unified Embedding for Face Recognition and Clustering, 2015. https://arxiv.org/abs/1503.03832
        Balntas, Riba, Ponsa, Mikolajczyk, Learning local feature descriptors with triplets and shallow convolutional neural networks,
        2016. https://doi.org/10.5244/C.30.119
    """
    p = lax.stop_gradient(p)
    near, far = _norm(anchors - positives, p), _norm(anchors - negatives, p)
    if swap:
        other = _norm(positives - negatives, p)
        far = jnp.where(other < far, other, far)
    violation = near - far + margin
    return softplus(violation) if soft else positive_part(violation)


def _cosine_distance(first: Array, second: Array) -> Array:
    """Half the squared distance of the unit vectors; 1 where one of them is zero."""
    a, b = normalize(first), normalize(second)
    absent = [jnp.where(jnp.any(v != 0), 0, 0.5).astype(v.dtype) for v in (first, second)]
    return 0.5 * jnp.sum(jnp.square(a - b)) + absent[0] + absent[1]


def _norm(x: Array, p: Array) -> Array:
    """The p-norm, with gradient 0 at zero; the common norm does not pay for logarithms."""
    return lax.cond(p == 2, jax.checkpoint(lambda x, p: safe_norm(x)), jax.checkpoint(_any_norm), x, p)


def _any_norm(x: Array, p: Array) -> Array:
    size = absolute(x)
    largest = jnp.max(size)
    scale = lax.stop_gradient(jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1))
    power = jnp.where(jnp.isinf(p), 1, p)
    present = size > 0
    total = jnp.sum(jnp.where(present, jnp.exp(power * jnp.log(jnp.where(present, size / scale, 1))), 0))
    some = total > 0
    norm = jnp.where(some, scale * jnp.exp(jnp.log(jnp.where(some, total, 1)) / power), jnp.where(jnp.isnan(total), total, 0))
    return jnp.where(jnp.isinf(p), largest, norm)
