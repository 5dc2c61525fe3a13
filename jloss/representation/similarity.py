"""Metric learning on sets: one example is a set of `n` items with `d` features, and every item is compared with every other.

All of these normalise their embeddings; an item that `mask` drops is neither anchor nor positive nor negative.
"""

from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import logsumexp, positive_part, safe_divide, safe_log, safe_sqrt, softplus
from jloss.representation._sets import (
    Items,
    Marks,
    by_blocks,
    choices,
    dot,
    items,
    mean_of_sums,
    mean_of_totals,
    mean_where,
    pairs,
    recentered,
    squared_distances,
    squares_of,
    sums_of_rows,
    sums_of_rows_sharing,
    totals,
    unit_distances_of,
)


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def multi_similarity(
    embeddings: Array,
    labels: Array,
    mask: Array | None = None,
    *,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Weighs every pair of a set by how hard it is, among its own and among the others; a strong default.

    .. math::
        \ell = \operatorname*{mean}_a \tfrac{1}{\alpha} \log\Big(1 + \sum_{p \sim a} e^{-\alpha (s_{ap} - \text{base})}\Big)
        + \tfrac{1}{\beta} \log\Big(1 + \sum_{n \not\sim a} e^{\beta (s_{an} - \text{base})}\Big)

    `s` are cosines. The mean is over all items; one without positives or negatives lacks that term. The pair mining of the
    paper is left out: its weights nearly ignore easy pairs anyway. Smooth; a zero vector has gradient 0.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        alpha: Sharpness among positives; positive.
        beta: Sharpness among negatives; positive.
        base: The cosine that separates positives from negatives.

    >>> round(float(multi_similarity(jnp.eye(2), jnp.array([0, 0]))), 4)
    0.6566

    References:
        Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, 2019. https://arxiv.org/abs/1904.06627
    """

    def block(rows: Marks, columns: Marks, cosines: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        similarity = cosines - base
        each = softplus(_among(-alpha * similarity, positive)) / alpha + softplus(_among(beta * similarity, negative)) / beta
        return [jnp.where(rows.kept, each, 0.0), rows.kept.astype(each.dtype)]

    return mean_of_sums(sums_of_rows(block, items(embeddings, labels, mask, unit=True)))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def circle(
    embeddings: Array, labels: Array, mask: Array | None = None, *, margin: float = 0.4, gamma: float = 80.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Every cosine is pulled towards its optimum as hard as it is far from it: pairs have a circular decision boundary.

    .. math::
        \ell = \operatorname*{mean}_a \operatorname{softplus}\Big(\operatorname*{logsumexp}_{n \not\sim a} \gamma \alpha_n (s_{an} - m)
        + \operatorname*{logsumexp}_{p \sim a} -\gamma \alpha_p (s_{ap} - 1 + m)\Big)

    The weights ``a_n = max(0, s + m)`` and ``a_p = max(0, 1 + m - s)`` are constants for the gradient, as in the paper (not so
    in tensorflow-similarity). The mean is over items that have a positive and a negative; 0 if none has.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: The relaxation `m`: positives should be above ``1 - m``, negatives below `m`.
        gamma: Sharpness; positive. The paper takes 256 with a margin of 0.25 for faces.

    >>> round(float(circle(jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), jnp.array([0, 0, 1]))), 3)
    19.2

    References:
        Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, 2020. https://arxiv.org/abs/2002.10857
    """

    def block(rows: Marks, columns: Marks, similarity: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        near = _among(-gamma * lax.stop_gradient(positive_part(1 + margin - similarity)) * (similarity - 1 + margin), positive)
        far = _among(gamma * lax.stop_gradient(positive_part(similarity + margin)) * (similarity - margin), negative)
        usable = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
        each = softplus(jnp.where(usable, near, 0.0) + jnp.where(usable, far, 0.0))
        return [jnp.where(usable, each, 0.0), usable.astype(each.dtype)]

    return mean_of_sums(sums_of_rows(block, items(embeddings, labels, mask, unit=True)))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def pair_margin(
    embeddings: Array, labels: Array, mask: Array | None = None, *, margin: float = 0.2, beta: float = 1.2, **reduce: Unpack[Reduce]
) -> Array:
    r"""Positive pairs nearer than ``beta - margin``, negative ones farther than ``beta + margin``: the margin loss of Wu.

    .. math::
        \ell = \operatorname*{mean}_{(i, j):\ \ell_{ij} > 0} \ell_{ij} \qquad \ell_{ij} = \max(0,\ \text{margin} \pm (d_{ij} - \beta))

    with + for a positive pair, - for a negative one. Distances are of unit vectors, between 0 and 2. The mean is over ordered
    pairs with a positive loss; 0 if there is none. `beta` may be learned. Coinciding vectors have gradient 0.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: Half the width of the gap between positive and negative distances.
        beta: The distance between positives and negatives.

    >>> pair_margin(jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), jnp.array([0, 0, 1]))
    Array(0.414214, dtype=float32)

    References:
        Wu, Manmatha, Smola, Krahenbuhl, Sampling Matters in Deep Embedding Learning, 2017. https://arxiv.org/abs/1706.07567
    """

    def block(rows: Marks, columns: Marks, products: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        excess = unit_distances_of(rows, columns, products) - beta
        violation = positive_part(jnp.where(positive, excess, -excess) + margin)
        active = (positive | negative) & (violation != 0)
        return [*totals(violation, active)]

    return mean_of_sums(sums_of_rows(block, recentered(items(embeddings, labels, mask, unit=True))))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def lifted_structure(
    embeddings: Array, labels: Array, mask: Array | None = None, *, margin: float = 1.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Each positive pair against all negatives of both of its items, smoothly.

    .. math::
        \ell = \operatorname*{mean}_{(i, j)} \tfrac{1}{2} \max(0, J_{ij})^2 \qquad
        J_{ij} = d_{ij} + \log\Big(\sum_{k \not\sim i} e^{\text{margin} - d_{ik}} + \sum_{k \not\sim j} e^{\text{margin} - d_{jk}}\Big)

    The mean is over ordered positive pairs; 0 if there is none, or nothing to tell them from. Distances are of unit vectors.
    Where J is 0 or below, the gradient is 0; coinciding vectors give theirs gradient 0.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: The distance that negatives should keep.

    >>> round(float(lifted_structure(jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), jnp.array([0, 0, 1]))), 4)
    1.0405

    References:
        Song, Xiang, Jegelka, Savarese, Deep Metric Learning via Lifted Structured Feature Embedding, 2016. https://arxiv.org/abs/1511.06452
    """

    def repulsion(rows: Marks, columns: Marks, products: Array, margin: Array) -> Array:
        _, negative = pairs(rows, columns)
        return _among(margin - unit_distances_of(rows, columns, products), negative)

    def block(rows: Marks, columns: Marks, products: Array, mine: Array, theirs: Array) -> list[Array]:
        positive, _ = pairs(rows, columns)
        both = jnp.stack(jnp.broadcast_arrays(mine[:, None], theirs[None, :]))
        violation = logsumexp(both, axis=0) + unit_distances_of(rows, columns, products)
        return [*totals(0.5 * jnp.square(positive_part(violation)), positive)]

    given = recentered(items(embeddings, labels, mask, unit=True))
    return mean_of_sums(sums_of_rows_sharing(repulsion, block, given, jnp.asarray(margin)))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def n_pairs(embeddings: Array, labels: Array, mask: Array | None = None, **reduce: Unpack[Reduce]) -> Array:
    r"""One pair of each class: its first item should recognise its second among those of all classes.

    .. math::
        \ell = \operatorname*{mean}_c \log\Big(1 + \sum_{c' \ne c} e^{s_{c c'} - s_{cc}}\Big)
        \qquad s_{c c'} = \cos(\text{first of } c,\ \text{second of } c')

    The first two items of each class take part, further ones and classes of one item do not. The mean is over classes with a
    pair; 0 if there is one class or none. Vectors are normalised, so the L2 penalty of the paper is not needed; cosines alone
    separate softly, see `nt_xent` for a temperature.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.

    >>> n_pairs(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), jnp.array([0, 0, 1, 1]))
    Array(0.3132617, dtype=float32)

    References:
        Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, 2016.
        https://papers.nips.cc/paper/2016/hash/6b180037abbebea991d8b1232f8a8ca9-Abstract.html
    """
    columns = items(embeddings, labels, mask, unit=True)

    def ranks(rows: Items) -> Array:
        positive, _ = pairs(rows, columns)
        return jnp.sum(positive & (columns.index[None, :] < rows.index[:, None]), axis=1, dtype=jnp.int32)

    rank = choices(ranks, columns)
    second = columns.kept & (rank == 1)

    def block(rows: Marks, columns: Marks, similarity: Array) -> list[Array]:
        positive, _ = pairs(rows, columns)
        own = positive & second[None, :]
        usable = rows.kept & (rank[rows.index] == 0) & jnp.any(own, axis=1)
        mine = jnp.sum(jnp.where(own, similarity, 0.0), axis=1)
        each = softplus(_among(similarity - mine[:, None], second[None, :] & ~own))
        return [jnp.where(usable, each, 0.0), usable.astype(each.dtype)]

    return mean_of_sums(sums_of_rows(block, columns))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^3", memory="n^2")
def angular(embeddings: Array, labels: Array, mask: Array | None = None, *, alpha: float = 40.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Bounds the angle at the negative of every triangle of anchor, positive and negative; it does not depend on scale.

    .. math::
        \ell = \operatorname*{mean}_{(a, p)} \log\Big(1 + \sum_{n \not\sim a} e^{4 t\, (x_a + x_p) \cdot x_n
        - 2 (1 + t)\, x_a \cdot x_p}\Big) \qquad t = \tan^2 \alpha

    The mean is over ordered positive pairs; 0 if there is none. The sum over negatives of a pair is a product of two
    exponentials, so all pairs together are one matrix product; the tensor of triplets (100 GB in pytorch-metric-learning at
    batch sizes in use) is never formed.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        alpha: The bound, in degrees; between 0 and 90, in the paper 36 to 55.

    >>> round(float(angular(jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), jnp.array([0, 0, 1]))), 4)
    0.0581

    References:
        Wang, Zhou, Wen, Liu, Lin, Deep Metric Learning with Angular Loss, 2017. https://arxiv.org/abs/1708.01682
    """
    columns = items(embeddings, labels, mask, unit=True)
    tangent = jnp.square(jnp.tan(jnp.deg2rad(alpha)))

    def exponentials(rows: Items) -> tuple[Array, Array]:
        _, negative = pairs(rows, columns)
        logits = 4 * tangent * dot(rows.vectors, columns.vectors)
        peak = jnp.max(jnp.where(negative, lax.stop_gradient(logits), -jnp.inf), axis=1)
        peak = jnp.where(peak > -jnp.inf, peak, 0.0)
        return jnp.exp(jnp.where(negative, logits - peak[:, None], -jnp.inf)), peak

    powers, peaks = by_blocks(exponentials, columns)

    def block(given: tuple[Items, Array, Array]) -> tuple[Array, Array]:
        rows, power, peak = given
        positive, negative = pairs(rows, columns)
        total = safe_log(dot(power, powers)) + peak[:, None] + peaks[None, :]
        violation = softplus(total - 2 * (1 + tangent) * dot(rows.vectors, columns.vectors))
        return totals(violation, positive & jnp.any(negative, axis=1, keepdims=True))

    return mean_of_totals(by_blocks(block, (columns, powers, peaks)))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def tuplet_margin(
    embeddings: Array, labels: Array, mask: Array | None = None, *, margin: float = 5.73, scale: float = 64.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Each positive pair against all negatives of its anchor, with slack in the angle so that hard positives do not overfit.

    .. math::
        \ell = \operatorname*{mean}_{(a, p)} \log\Big(1 + \sum_{n \not\sim a}
        e^{\text{scale} (\cos \theta_{an} - \cos(\theta_{ap} - \text{margin}))}\Big)

    The mean is over ordered positive pairs; 0 if there is none. Parallel vectors give their angle gradient 0. In float32 the sine
    of an angle below 0.001 has one digit: of embeddings whose common part is a thousand times the rest, the gradient is a tenth off.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: The slack, in degrees: 5.73 is a tenth of a radian.
        scale: Sharpness; positive.

    >>> round(float(tuplet_margin(jnp.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]]), jnp.array([0, 0, 1]))), 3)
    3.332

    References:
        Yu, Tao, Deep Metric Learning with Tuplet Margin Loss, 2019.
        https://openaccess.thecvf.com/content_ICCV_2019/html/Yu_Deep_Metric_Learning_With_Tuplet_Margin_Loss_ICCV_2019_paper.html
    """
    slack = jnp.deg2rad(margin)

    def block(rows: Marks, columns: Marks, cosine: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        sine = _sine(cosine)
        pushed = _among(scale * cosine, negative)[:, None]
        violation = softplus(pushed - scale * (cosine * jnp.cos(slack) + sine * jnp.sin(slack)))
        return [*totals(violation, positive & jnp.any(negative, axis=1, keepdims=True))]

    return mean_of_sums(sums_of_rows(block, items(embeddings, labels, mask, unit=True)))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def fast_ap(embeddings: Array, labels: Array, mask: Array | None = None, *, bins: int = 10, **reduce: Unpack[Reduce]) -> Array:
    r"""One minus average precision of retrieval within the set, made differentiable by binned distances.

    .. math::
        \ell = 1 - \operatorname*{mean}_a \frac{1}{N^+_a} \sum_b \frac{h^+_b H^+_b}{H_b}

    ``h+`` counts the positives of an item whose squared distance falls into a bin, softly, ``H`` sums up to it over all items.
    The mean is over items that have a positive; 0 if none has. The larger the set the better; few bins smooth, many are
    faithful. On a bin's centre the derivative is the mean of those from below and from above.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        bins: Number of intervals of the squared distances, which are between 0 and 4.

    >>> fast_ap(jnp.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), jnp.array([0, 0, 1]))
    Array(0., dtype=float32)

    References:
        Cakir, He, Xia, Kulis, Sclaroff, Deep Metric Learning to Rank, 2019.
        https://openaccess.thecvf.com/content_CVPR_2019/html/Cakir_Deep_Metric_Learning_to_Rank_CVPR_2019_paper.html
    """
    if bins < 1:
        raise ValueError(f"fast_ap: `bins` must be 1 or more, got {bins}.")

    def block(rows: Marks, columns: Marks, products: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        squares = squares_of(rows, columns, products)
        place = squares * (bins / 4)
        here, other = _histograms(place, positive, negative, bins)
        below, all_below = jnp.cumsum(here, axis=1), jnp.cumsum(here + other, axis=1)
        number = jnp.sum(positive, axis=1).astype(squares.dtype)
        precision = jnp.sum(here * safe_divide(below, all_below, 1.0), axis=1)  # of an empty bin that a positive is about to enter
        return [jnp.where(number > 0, 1 - safe_divide(precision, number), 0.0), (number > 0).astype(number.dtype)]

    return mean_of_sums(sums_of_rows(block, recentered(items(embeddings, labels, mask, unit=True)), arrays=24))


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def histogram(embeddings: Array, labels: Array, mask: Array | None = None, *, bins: int = 100, **reduce: Unpack[Reduce]) -> Array:
    r"""The probability that a random negative pair is more similar than a random positive one; no margin to tune.

    .. math::
        \ell = \sum_b h^-_b \sum_{b' \le b} h^+_{b'}

    ``h+`` and ``h-`` are the soft histograms of the cosines of positive and of negative pairs. 0 if one kind is missing. Between
    0 and 1. A cosine has a gradient through the two bins beside it only; on a bin's centre it is the mean of those of both sides.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        bins: Number of intervals between -1 and 1.

    >>> histogram(jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]]), jnp.array([0, 0, 1, 1]))
    Array(0.75, dtype=float32)

    References:
        Ustinova, Lempitsky, Learning Deep Embeddings with Histogram Loss, 2016. https://arxiv.org/abs/1611.00822
    """
    if bins < 1:
        raise ValueError(f"histogram: `bins` must be 1 or more, got {bins}.")

    def block(rows: Marks, columns: Marks, cosines: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        beyond = lax.stop_gradient(cosines - jnp.clip(cosines, -1.0, 1.0))  # by rounding: no edge that the derivatives should see
        return [*_histograms((cosines - beyond + 1) * (bins / 2), positive, negative, bins)]

    def after(counts: list[Array]) -> Array:
        like, unlike = counts
        return jnp.sum(safe_divide(unlike, jnp.sum(unlike)) * safe_divide(jnp.cumsum(like), jnp.sum(like)))

    return sums_of_rows(block, items(embeddings, labels, mask, unit=True), after=after)[0]


@loss("(n,d),(n),(n)->()", "real group mask")
@hint(time="n^2")
def ranked_list(
    embeddings: Array,
    labels: Array,
    mask: Array | None = None,
    *,
    margin: float = 0.4,
    alpha: float = 1.2,
    temperature: float = 10.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Each item draws its class into a ball, but not to a point, and pushes the nearest others out of a larger one.

    .. math::
        \ell = \operatorname*{mean}_a \operatorname*{mean}_{p:\, d_{ap} > \alpha - m} (d_{ap} - \alpha + m)
        + \frac{\sum_{n:\, d_{an} < \alpha} w_{an} (\alpha - d_{an})}{\sum_{n:\, d_{an} < \alpha} w_{an}}
        \qquad w = e^{\text{temperature}\,(\alpha - d)}

    Distances are of unit vectors. The weights are constants for the gradient, as in the paper (they are differentiated in
    pytorch-metric-learning, which also halves both terms). The mean is over all items.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        margin: By how much nearer positives should be than negatives.
        alpha: The distance that negatives should keep; between 0 and 2.
        temperature: How much the nearest negatives outweigh the others; 0 for equal weights.

    >>> ranked_list(jnp.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), jnp.array([0, 0, 1]))
    Array(0.409476, dtype=float32)

    References:
        Wang, Hua, Kodirov, Hu, Garnier, Robertson, Ranked List Loss for Deep Metric Learning, 2019. https://arxiv.org/abs/1903.03238
    """

    def block(rows: Marks, columns: Marks, products: Array) -> list[Array]:
        positive, negative = pairs(rows, columns)
        distances = unit_distances_of(rows, columns, products)
        outside, inside = positive_part(distances - alpha + margin), positive_part(alpha - distances)
        far, near = positive & (outside != 0), negative & (inside != 0)
        weights = jax.nn.softmax(jnp.where(near, lax.stop_gradient(temperature * inside), -1e30), axis=1)
        each = jax.vmap(mean_where)(outside, far) + jnp.sum(jnp.where(near, weights * inside, 0.0), axis=1)
        return [jnp.where(rows.kept, each, 0.0), rows.kept.astype(each.dtype)]

    return mean_of_sums(sums_of_rows(block, recentered(items(embeddings, labels, mask, unit=True))))


def _among(logits: Array, chosen: Array) -> Array:
    """For each row log sum exp over the chosen columns; -inf where there is none."""
    return logsumexp(jnp.where(chosen, logits, -jnp.inf), axis=1)


def _distances(rows: Items, columns: Items) -> Array:
    return safe_sqrt(squared_distances(rows.vectors, columns.vectors))


def _sine(cosine: Array) -> Array:
    """The sine of an angle up to pi; 0, without a gradient, where rounding cannot tell the angle from 0 or pi."""
    return safe_sqrt(jnp.where(1 - jnp.abs(cosine) <= 2 * jnp.finfo(cosine.dtype).eps, 0.0, (1 - cosine) * (1 + cosine)))


def _histograms(place: Array, positive: Array, negative: Array, bins: int) -> tuple[Array, Array]:
    """How many of each row's columns, of one kind and of the other, fall to the centres 0, 1, ..., `bins`; shared between the two beside.

    On a centre, which rounding cannot tell from beside it, the derivative is the mean of those of both sides.
    """
    rows = place.shape[0]
    fixed = lax.stop_gradient(place)
    nearest = jnp.round(fixed)
    on_centre = (jnp.abs(fixed - nearest) <= 4 * bins * jnp.finfo(place.dtype).eps) & (nearest > 0) & (nearest < bins)
    below = jnp.where(on_centre, nearest, jnp.clip(jnp.floor(fixed), 0.0, bins - 1.0))
    above = place - jnp.where(on_centre, fixed, below)  # exactly 0 on a centre
    shares = jnp.where(on_centre, -0.5 * above, 0.0), jnp.where(on_centre, 1.0, 1 - above), jnp.where(on_centre, 0.5 * above, above)
    which = 2 * lax.broadcasted_iota(jnp.int32, place.shape, 0) + negative.astype(jnp.int32)
    start = which * (bins + 2) + below.astype(jnp.int32)
    counts = jnp.zeros(2 * rows * (bins + 2), place.dtype)
    for i, share in enumerate(shares):
        counts = counts.at[start + i].add(jnp.where(positive | negative, share, 0.0))
    counts = counts.reshape(rows, 2, bins + 2)[:, :, 1:]
    return counts[:, 0], counts[:, 1]
