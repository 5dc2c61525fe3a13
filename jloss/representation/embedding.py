"""Metric learning on pairs and triplets of embeddings with `d` features; see `similarity` for sets, `prototypes` for classes.

The batch losses look for their triplets among the `n` items of a set, with static shapes: one set is one example.
"""

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import computed_again, hint, is_known_zero
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss._core.sorting import order_of
from jloss.numerics import absolute, positive_part, safe_norm, safe_sqrt, select_by_sign, softplus
from jloss.representation._sets import (
    Items,
    Marks,
    choices,
    farthest,
    items,
    mean_of_sums,
    mean_where,
    nan_if_not_finite,
    nearest,
    pairs,
    recentered,
    squared_distances,
    squares_of,
    sums_of_partners,
    sums_of_rows,
    totals,
    unit_distance,
)


@loss("(d),(d)->()", "real real")
@hint(straight=True)
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
    return unit_distance(predictions, targets)


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
    distance = unit_distance(first, second)
    return select_by_sign(signs, distance, positive_part(1 - distance - margin))


@loss("(d),(d),()->()", "real real unit")
def contrastive_pair(first: Array, second: Array, same: Array, *, margin: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Pulls pairs of the same kind together, pushes others apart until they are `margin` away.

    .. math::
        \ell = \text{same}\; d^2 + (1 - \text{same}) \max(0, \text{margin} - d)^2 \qquad d = |\text{first} - \text{second}|

    The loss of Siamese networks, without the factor one half that some versions have; pytorch-metric-learning does not square
    its two terms. Coinciding vectors have gradient 0, even if they should be apart: nothing says in which direction.

    Args:
        first: Vectors.
        second: Vectors.
        same: 1 (or True) for a pair of the same kind, 0 for another; a number between is a soft label.
        margin: The distance from which different pairs are left alone; positive.

    >>> contrastive_pair(jnp.zeros((2, 2)), jnp.array([[0.3, 0.4], [0.3, 0.4]]), jnp.array([1, 0]), reduction="none")
    Array([0.25, 0.25], dtype=float32)

    References:
        Hadsell, Chopra, LeCun, Dimensionality Reduction by Learning an Invariant Mapping, 2006. https://doi.org/10.1109/CVPR.2006.100
    """
    difference = first - second
    apart = positive_part(margin - safe_norm(difference))
    return same * jnp.sum(jnp.square(difference)) + (1 - same) * jnp.square(apart)


@loss("(d),(d),(d)->()", "real real real", p="positive")
@hint(blocks=1)
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

    A triplet that keeps the margin has gradient 0; coinciding vectors (with ``p=2`` also those nearer than 1e-19) give their
    distance gradient 0, and with ``p=2`` a distance beyond 1e19 is inf. Otherwise distances are exact:
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
    near, far = _both_distances(anchors, positives, negatives, p, swap)
    violation = near - far + margin
    return softplus(violation) if soft else positive_part(violation)


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def batch_hard_triplet(
    embeddings: Array, labels: Array, mask: Array | None = None, *, margin: float = 1.0, squared: bool = False, **reduce: Unpack[Reduce]
) -> Array:
    r"""Triplets of a set: for each item its farthest positive and its nearest negative.

    .. math::
        \ell = \operatorname*{mean}_a \max(0,\ \max_{p \sim a} d_{ap} - \min_{n \not\sim a} d_{an} + \text{margin})

    The mean is over items that have a positive and a negative; 0 if none has. Only the chosen pairs have a gradient, 0 for
    coinciding vectors. The choice needs all inner products, a block at a time, and no gradient; the n distances are then exact.
    May collapse early in training, with all embeddings alike; `batch_semi_hard_triplet` is gentler.

    Args:
        embeddings: One vector per item; not normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: By how much farther the negative should be, in units of the distance.
        squared: Whether distances are squared.

    >>> batch_hard_triplet(jnp.array([[0.0], [1.0], [1.5]]), jnp.array([0, 0, 1]))
    Array(1., dtype=float32)

    References:
        Hermans, Beyer, Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017. https://arxiv.org/abs/1703.07737
    """
    given = items(embeddings, labels, mask)
    columns = jax.tree.map(lax.stop_gradient, recentered(given))

    def choose(rows: Items) -> tuple[Array, Array, Array]:
        positive, negative = pairs(rows, columns)
        squares = squared_distances(rows.vectors, columns.vectors)
        usable = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
        return farthest(squares, positive), nearest(squares, negative), usable

    def each(some: Array, others: list[Array], usable: tuple[Array, ...]) -> list[Array]:
        far, near = (jnp.sum(jnp.square(some - x), axis=1) if squared else safe_norm(some - x) for x in others)
        return [jnp.where(usable[0], positive_part(far - near + margin), 0.0), usable[0].astype(far.dtype)]

    *chosen, usable = choices(choose, columns)
    return mean_of_sums(sums_of_partners(each, given.vectors, chosen, usable)) + nan_if_not_finite(given)


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def batch_semi_hard_triplet(
    embeddings: Array, labels: Array, mask: Array | None = None, *, margin: float = 1.0, squared: bool = False, **reduce: Unpack[Reduce]
) -> Array:
    r"""Triplets of a set: for each positive pair the nearest negative that is farther than the positive.

    .. math::
        \ell = \operatorname*{mean}_{(a, p)} \max(0,\ d_{ap} - d_{a n(a, p)} + \text{margin})
        \qquad n(a, p) = \operatorname*{argmin}_{n \not\sim a,\ d_{an} > d_{ap}} d_{an}

    Where no negative is farther than the positive, the farthest negative takes its place, as in FaceNet. The mean is over
    ordered positive pairs whose anchor has a negative; 0 if there is none. n log n work for each item, not the n^2 of a cube.

    Args:
        embeddings: One vector per item; not normalised here (FaceNet's are unit vectors and its distances are squared).
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: By how much farther the negative should be, in units of the distance.
        squared: Whether distances are squared.

    >>> batch_semi_hard_triplet(jnp.array([[0.0], [1.0], [1.5]]), jnp.array([0, 0, 1]))
    Array(1., dtype=float32)

    References:
        Schroff, Kalenichenko, Philbin, FaceNet: A Unified Embedding for Face Recognition and Clustering, 2015. https://arxiv.org/abs/1503.03832
    """

    def block(rows: Marks, columns: Marks, products: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        squares = squares_of(rows, columns, products)
        distances = squares if squared else safe_sqrt(squares)
        n = distances.shape[1]
        order, valid = _merged(distances, negative, distances, positive)  # of equal distances the negative comes first
        is_negative, is_positive = valid & (order < n), valid & (order >= n)
        place = jnp.where(is_negative, lax.broadcasted_iota(jnp.int32, order.shape, 1), -1)
        last = jnp.max(place, axis=1, keepdims=True)
        following = lax.cummin(jnp.where(is_negative, place, 2 * n), axis=1, reverse=True)
        rank = jnp.where(following < 2 * n, following, last)
        values = jnp.take_along_axis(jnp.concatenate([distances, distances], axis=1), order, axis=1)
        violation = values - jnp.take_along_axis(values, jnp.maximum(rank, 0), axis=1) + margin
        return [*totals(positive_part(violation), is_positive & (last >= 0))]

    return mean_of_sums(sums_of_rows(block, recentered(items(embeddings, labels, mask)), arrays=64))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def batch_all_triplet(
    embeddings: Array, labels: Array, mask: Array | None = None, *, margin: float = 1.0, squared: bool = False, **reduce: Unpack[Reduce]
) -> Array:
    r"""All triplets of a set that violate the margin, averaged.

    .. math::
        \ell = \operatorname*{mean}_{(a, p, n):\ \ell_{apn} > 0} \ell_{apn} \qquad \ell_{apn} = d_{ap} - d_{an} + \text{margin}

    The mean is over triplets with a positive loss, so that the many easy ones do not water it down; 0 if there is none. The
    cube of triplets is never formed: sorted distances and their running sums give the same number in n log n for each item.

    Args:
        embeddings: One vector per item; not normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: By how much farther the negative should be, in units of the distance.
        squared: Whether distances are squared.

    >>> batch_all_triplet(jnp.array([[0.0], [1.0], [1.5]]), jnp.array([0, 0, 1]))
    Array(1., dtype=float32)

    References:
        Hermans, Beyer, Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017. https://arxiv.org/abs/1703.07737
    """

    def block(rows: Marks, columns: Marks, products: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        squares = squares_of(rows, columns, products)
        distances = squares if squared else safe_sqrt(squares)
        n = distances.shape[1]
        reach = distances + margin
        order, valid = _merged(reach, positive, distances, negative)  # a negative that is just out of reach comes last
        is_positive, is_negative = valid & (order < n), valid & (order >= n)
        values = jnp.take_along_axis(jnp.concatenate([reach, distances], axis=1), order, axis=1)
        middle = lax.stop_gradient(jax.vmap(mean_where)(values, is_negative))
        values = values - middle[:, None]  # small numbers add up exactly
        nearer = jnp.cumsum(is_negative.astype(values.dtype), axis=1)
        violation = nearer * values - jnp.cumsum(jnp.where(is_negative, values, 0.0), axis=1)
        return [totals(violation, is_positive)[0], totals(nearer, is_positive)[0]]

    return mean_of_sums(sums_of_rows(block, recentered(items(embeddings, labels, mask)), arrays=64))


def _merged(first: Array, in_first: Array, second: Array, in_second: Array) -> tuple[Array, Array]:
    """Two lists side by side: the order of all their numbers (what is in no list comes last), and which are in one."""
    numbers, listed = jnp.concatenate([first, second], axis=1), jnp.concatenate([in_first, in_second], axis=1)
    numbers = jnp.minimum(numbers, jnp.finfo(numbers.dtype).max)  # a distance may overflow
    order = order_of(jnp.where(listed, numbers, jnp.inf))
    count = jnp.sum(listed, axis=1, keepdims=True, dtype=jnp.int32)
    return order, lax.broadcasted_iota(jnp.int32, numbers.shape, 1) < count


def _both_distances(anchor: Array, positive: Array, negative: Array, p: Array | float, swap: bool) -> tuple[Array, Array]:
    """The p-norms to the positive and to the negative; the common norm does not pay for logarithms."""

    def measured(distance: Callable[[Array, Array], Array], *vectors: Array) -> tuple[Array, Array]:
        anchor, positive, negative = vectors
        near, far = distance(anchor, positive), distance(anchor, negative)
        if swap:
            other = distance(positive, negative)
            far = jnp.where(other < far, other, far)
        return near, far

    def length(x: Array, y: Array) -> Array:  # unscaled, in half the time of `safe_norm`: below 1e-19 it is 0, above 1e19 infinite
        return safe_sqrt(computed_again(lambda x, y: jnp.sum(jnp.square(x - y)))(x, y))

    def general(vectors: tuple[Array, ...]) -> tuple[Array, Array]:
        return measured(lambda x, y: _any_norm(x - y, p), *vectors)

    vectors = (anchor, positive, negative)
    common = measured(length, *vectors)
    if is_known_zero(p - 2):
        return common
    p = lax.stop_gradient(p)
    other = lax.cond(p == 2, lambda _: jax.tree.map(lambda x: lax.full_like(x, 0), common), jax.checkpoint(general), vectors)
    return jnp.where(p == 2, common[0], other[0]), jnp.where(p == 2, common[1], other[1])


def _any_norm(x: Array, p: Array | float) -> Array:
    if x.size == 0:
        return jnp.zeros((), x.dtype)
    size = absolute(x)
    largest = jnp.max(size)
    scale = lax.stop_gradient(jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0))
    power = jnp.where(jnp.isinf(p), 1.0, p)
    present = size > 0
    total = jnp.sum(jnp.where(present, jnp.exp(power * jnp.log(jnp.where(present, size / scale, 1.0))), 0.0))
    some = total > 0
    norm = jnp.where(some, scale * jnp.exp(jnp.log(jnp.where(some, total, 1.0)) / power), jnp.where(jnp.isnan(total), total, 0.0))
    return jnp.where(jnp.isinf(p), largest, norm)
