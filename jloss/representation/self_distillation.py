"""Self-supervised learning without negatives: twins, decorrelation, self-distillation, and regularisers of an embedding.

Letters: `n` items of a set or `t` patches of an image, `d` features, `k` prototypes. Targets and teachers are under
`stop_gradient` where the paper says so, and only there. `mask` drops items, NaN included. Inside `jax.shard_map`, the losses
with `negatives_axis_name` take their statistics over the devices of that mesh axis, with the exact gradient.
"""

import functools
from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import computed_again, hint
from jloss._core.blocks import sum_over_blocks
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import log_softmax, normalize, positive_part, safe_norm
from jloss.numerics.guards import log_odds_to_peak
from jloss.representation._assignments import assigned, balance
from jloss.representation._sets import (
    Items,
    choices,
    dot,
    items,
    mean_where,
    nearest,
    number_of,
    recentered,
    squared_distances,
    sum_where,
    sums_of_partners,
    unit_distance,
    without_rounding,
)
from jloss.representation._tiles import Devices, devices_of, other_items

BLOCK = 512  # items whose inner products of features are added at once
SLICES = 32  # directions along which a large set is looked at at once


@loss("(d),(d)->()", "real real", constants="targets")
def byol(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared distance of unit vectors, from the online network's prediction to the target network's projection.

    .. math::
        \ell = 2 - 2 \cos(\text{predictions}, \operatorname{sg}(\text{targets}))

    One direction: add the one with the views exchanged, as the paper does. The targets get no gradient. Four times `simsiam`
    plus a constant once both are symmetric. A zero vector has gradient 0.

    Args:
        predictions: Output of the predictor for one view, normalised here.
        targets: Output of the target network for the other view, normalised here; a constant.

    >>> byol(jnp.array([1.0, 0.0]), jnp.array([0.0, 3.0]))
    Array(2., dtype=float32)

    References:
        Grill et al., Bootstrap Your Own Latent, 2020. https://arxiv.org/abs/2006.07733
    """
    return 2 * unit_distance(predictions, lax.stop_gradient(targets))


@loss("(d),(d)->()", "real real", constants="targets")
def simsiam(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Negative cosine from the prediction of one view to the constant projection of the other.

    .. math::
        \ell = -\cos(\text{predictions}, \operatorname{sg}(\text{targets}))

    One direction: the paper averages it with the one of the exchanged views. The targets get no gradient, without which both
    networks collapse. A zero vector has gradient 0.

    Args:
        predictions: Output of the predictor for one view, normalised here.
        targets: Output of the encoder for the other view, normalised here; a constant.

    >>> simsiam(jnp.array([1.0, 0.0]), jnp.array([3.0, 4.0]))
    Array(-0.6, dtype=float32)

    References:
        Chen, He, Exploring Simple Siamese Representation Learning, 2020. https://arxiv.org/abs/2011.10566
    """
    return -_cosine(predictions, lax.stop_gradient(targets))


@loss("(n,d),(n,d),(n)->()", "real real mask")
@hint(time="d^2", memory="d^2")
def barlow_twins(
    first: Array,
    second: Array,
    mask: Array | None = None,
    *,
    off_diagonal_weight: float = 0.0051,
    negatives_axis_name: str | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Makes the correlation of the features of two views the identity: alike per feature, without redundancy between them.

    .. math::
        \ell = \sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2 \qquad C = \tfrac{1}{n} \hat x^\top \hat y

    Every feature is standardised over the set with its biased standard deviation. A feature that does not vary has
    correlation 0 and no gradient. Fewer than two items have no correlation: 0. Vectors are not normalised.

    Args:
        first: First views.
        second: Second views.
        mask: Which items to use; all by default.
        off_diagonal_weight: Of the redundancy, lambda.
        negatives_axis_name: Mesh axis over which the set lies.

    >>> x = jnp.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> barlow_twins(x, x)
    Array(0., dtype=float32)

    References:
        Zbontar, Jing, Misra, LeCun, Deny, Barlow Twins, 2021. https://arxiv.org/abs/2103.03230
    """
    mesh = devices_of("barlow_twins", None, negatives_axis_name, False)
    a, b = items(first, mask=mask), items(second, mask=mask)
    number = _count(a, mask, mesh)
    x, y = (_standardization(given, number, mesh) for given in (a, b))
    products = sum_over_blocks(lambda some: _features(x(some[0]), y(some[1])), (a, b), BLOCK)
    correlation = mesh.total(products) / jnp.maximum(number, 1)
    squares = jnp.where(_is_diagonal(correlation.shape[0]), jnp.square(1 - correlation), off_diagonal_weight * jnp.square(correlation))
    return jnp.where(number > 1, jnp.sum(squares), 0.0)


@loss("(n,d),(n,d),(n)->()", "real real mask", epsilon="nonnegative")
@hint(time="d^2", memory="d^2")
def vicreg(
    first: Array,
    second: Array,
    mask: Array | None = None,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    epsilon: float = 1e-4,
    negatives_axis_name: str | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Views alike, every feature with a spread of one, features uncorrelated: three terms, each in its own right.

    .. math::
        \ell = \lambda\, \operatorname{mean} (x - y)^2
        + \mu \sum_{z \in \{x, y\}} \operatorname*{mean}_j \max\big(0, 1 - \sqrt{\operatorname{Var} z_j + \epsilon}\big)
        + \nu \sum_{z \in \{x, y\}} \tfrac{1}{d} \sum_{i \ne j} \operatorname{Cov}(z)_{ij}^2

    Variances and covariances divide by n - 1. The terms of both views are added, as in the paper; its code and lightly halve
    those of the variance. Fewer than two items have neither variance nor covariance: these terms are then 0.

    Args:
        first: First views; not normalised.
        second: Second views; not normalised.
        mask: Which items to use; all by default.
        invariance: Weight of the difference of the views, lambda.
        variance: Weight of the spread, mu.
        covariance: Weight of the redundancy, nu.
        epsilon: Added to variances below the root.
        negatives_axis_name: Mesh axis over which the set lies.

    >>> x = jnp.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> vicreg(x, x + 1)
    Array(25., dtype=float32)

    References:
        Bardes, Ponce, LeCun, VICReg: Variance-Invariance-Covariance Regularization, 2021. https://arxiv.org/abs/2105.04906
    """
    mesh = devices_of("vicreg", None, negatives_axis_name, False)
    a, b = items(first, mask=mask), items(second, mask=mask)
    d = first.shape[1] if first.shape[1] != 0 else 1
    number = _count(a, mask, mesh)
    spread, redundancy = jnp.zeros_like(number), jnp.zeros_like(number)
    for x in (a, b):
        centred, variances = _centring(x, number, mesh)
        deviations = variances * number / jnp.maximum(number - 1, 1) + epsilon
        positive = ~(deviations <= 0)  # so that NaN stays NaN
        roots = jnp.where(positive, jnp.sqrt(jnp.where(positive, deviations, 1.0)), 0.0)
        spread += jnp.sum(positive_part(1 - roots)) / d
        products = sum_over_blocks(functools.partial(_scatter, centred), x, BLOCK)
        scatter = mesh.total(products) / jnp.maximum(number - 1, 1)
        redundancy += jnp.sum(jnp.where(_is_diagonal(len(scatter)), 0.0, jnp.square(scatter))) / d
    squares = computed_again(lambda x, y: jnp.sum(jnp.square(x - y)))(a.vectors, b.vectors)
    difference = mesh.total(squares) / (d * jnp.maximum(number, 1))
    return invariance * difference + jnp.where(number > 1, variance * spread + covariance * redundancy, 0.0)


@loss(
    "(n,k),(n,k),(k),(n)->()",
    "real real real mask",
    constants="teacher center",
    student_temperature="positive",
    teacher_temperature="positive",
)
def dino(
    student: Array,
    teacher: Array,
    center: Array,
    mask: Array | None = None,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Cross entropy from the centred, sharpened teacher to the student, over prototypes; for one pair of views.

    .. math::
        \ell = \operatorname*{mean}_i -\sum_k \operatorname{softmax}_k\Big(\frac{t_i - c}{\tau_t}\Big)
        \log \operatorname{softmax}_k\Big(\frac{s_i}{\tau_s}\Big)

    Teacher and centre get no gradient. The mean over all pairs of different views is the paper's loss (DINOv2 adds them up).
    The centre is a running mean of the teacher's outputs, yours to keep: ``0.9 * center + 0.1 * teacher.mean(0)``. They are
    subtracted as they are: in float32 a centre of 1e4 that is not the teacher's leaves its scores three digits behind the point.

    Args:
        student: Scores of the student for one view.
        teacher: Scores of the teacher for another view of the same items; constants.
        center: Subtracted from the teacher's scores, against collapse to one prototype; a constant.
        mask: Which items to use; all by default.
        student_temperature: Divides the student's scores; small values sharpen its softmax.
        teacher_temperature: Sharper than the student's; the paper warms it up from 0.04 to 0.07.

    >>> round(float(dino(jnp.eye(2), jnp.eye(2), jnp.zeros(2), student_temperature=1.0, teacher_temperature=1.0)), 4)
    0.5822

    References:
        Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021. https://arxiv.org/abs/2104.14294
    """
    return _distilled(student, teacher, center, mask, student_temperature, teacher_temperature)


@loss(
    "(t,k),(t,k),(k),(t)->()",
    "real real real mask",
    constants="teacher center",
    student_temperature="positive",
    teacher_temperature="positive",
)
def ibot(
    student: Array,
    teacher: Array,
    center: Array,
    mask: Array | None = None,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""`dino` on the patches that were hidden from the student: masked image modelling with the teacher as tokenizer.

    .. math::
        \ell = \frac{1}{|M|} \sum_{i \in M} -\sum_k \operatorname{softmax}_k\Big(\frac{t_i - c}{\tau_t}\Big)
        \log \operatorname{softmax}_k\Big(\frac{s_i}{\tau_s}\Big)

    One image is one example: every image counts the same, whatever the number of its masked patches, and one without any gives
    0. Teacher and centre get no gradient.

    Args:
        student: Scores of the student for each patch of the masked image.
        teacher: Scores of the teacher for each patch of the whole image; constants.
        center: Subtracted from the teacher's scores; a constant.
        mask: True for the patches that were hidden, which are those that count; all by default.
        student_temperature: Divides the student's scores; small values sharpen its softmax.
        teacher_temperature: Sharper than the student's.

    >>> hidden = jnp.array([True, False])
    >>> round(float(ibot(jnp.eye(2), jnp.eye(2), jnp.zeros(2), hidden, student_temperature=1.0, teacher_temperature=1.0)), 4)
    0.5822

    References:
        Zhou et al., iBOT: Image BERT Pre-Training with Online Tokenizer, 2021. https://arxiv.org/abs/2111.07832
    """
    return _distilled(student, teacher, center, mask, student_temperature, teacher_temperature)


@loss("(n,k),(n,k),(n)->()", "real real mask", temperature="positive", epsilon="positive")
def swav(
    first: Array,
    second: Array,
    mask: Array | None = None,
    *,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    iterations: int = 3,
    negatives_axis_name: str | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Each view predicts the cluster of the other, where clusters are balanced over the set by Sinkhorn's iterations.

    .. math::
        \ell = \tfrac{1}{2} \operatorname*{mean}_i \Big( -\sum_k q^y_{ik} \log \operatorname{softmax}_k \frac{x_i}{\tau}
        - \sum_k q^x_{ik} \log \operatorname{softmax}_k \frac{y_i}{\tau} \Big) \qquad q^x = \operatorname{sinkhorn}(x / \epsilon)

    The assignments `q` get no gradient. They are computed with logarithms, so no score overflows. The mean of both directions,
    as in the code of the paper, whose formula adds them.

    Args:
        first: Scores of the first views: cosines with the prototypes.
        second: Scores of the second views.
        mask: Which items to use; all by default.
        temperature: Of the predictions; small is sharp.
        epsilon: Softness of the assignments.
        iterations: Of Sinkhorn's algorithm.
        negatives_axis_name: Mesh axis over which the set lies; clusters are then balanced over all of it.

    >>> round(float(swav(jnp.eye(2), jnp.eye(2), temperature=1.0)), 4)
    0.3133

    References:
        Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, 2020. https://arxiv.org/abs/2006.09882
    """
    if iterations < 0:
        raise ValueError(f"swav: `iterations` must be 0 or more, got {iterations}.")
    mesh = devices_of("swav", None, negatives_axis_name, False)
    x, y = (items(views, mask=mask) for views in (first, second))
    taken_of = functools.partial(balance, epsilon=epsilon, iterations=iterations, mesh=mesh)
    of_first, of_second = taken_of(x), taken_of(y)

    def swapped(some: tuple[Items, Items]) -> Array:
        x, y = some
        forward = jnp.sum(assigned(y, of_second, epsilon) * log_softmax(x.vectors, temperature=temperature), axis=1)
        backward = jnp.sum(assigned(x, of_first, epsilon) * log_softmax(y.vectors, temperature=temperature), axis=1)
        return -0.5 * sum_where(forward + backward, x.kept)

    total = mesh.total(sum_over_blocks(swapped, (x, y), BLOCK))
    return total / jnp.maximum(_count(x, mask, mesh), 1)


@loss("(n,d),(n)->()", "real mask", epsilon="nonnegative")
@hint(time="n^2")
def koleo(
    embeddings: Array, mask: Array | None = None, *, epsilon: float = 1e-8, chunk_size: int | None = None, **reduce: Unpack[Reduce]
) -> Array:
    r"""Spreads items over the unit sphere by pushing every one away from its nearest neighbour; a regulariser.

    .. math::
        \ell = \operatorname*{mean}_i -\log\big(\min_{j \ne i} |x_i - x_j| + \epsilon\big)

    An estimate of minus their entropy. Which neighbour is nearest is a constant for the gradient; an item that rounding cannot tell from
    its neighbour has the value ``-log(epsilon)`` and gradient 0. One item, or none, gives 0.

    Args:
        embeddings: Vectors, normalised here.
        mask: Which items to use; all by default.
        epsilon: Bounds the loss of coinciding items.
        chunk_size: Rows at once; all by default.

    >>> round(float(koleo(jnp.array([[1.0, 0.0], [-1.0, 0.0]]))), 4)
    -0.6931

    References:
        Sablayrolles, Douze, Schmid, Jegou, Spreading vectors for similarity search, 2018. https://arxiv.org/abs/1806.03198
    """
    devices_of("koleo", chunk_size, None, False)
    columns = jax.tree.map(lax.stop_gradient, recentered(items(embeddings, mask=mask, unit=True)))

    def neighbour(rows: Items) -> Array:
        return nearest(squared_distances(rows.vectors, columns.vectors), other_items(rows, columns))

    def each(some: Array, others: list[Array], given: tuple[Array, ...]) -> list[Array]:
        distances = without_rounding(safe_norm(normalize(some) - normalize(others[0])))
        return [jnp.where(given[0], -jnp.log(distances + epsilon), 0.0)]

    kept = items(embeddings, mask=mask)
    number = number_of(mask, embeddings)
    total = sums_of_partners(each, kept.vectors, [choices(neighbour, columns, chunk_size)], kept.kept)[0]
    return jnp.where(number > 1, total / jnp.maximum(number, 1).astype(total.dtype), 0.0)


@loss("(n,d),(),(n)->()", "real key mask", t_max="positive")
def sigreg(
    embeddings: Array,
    key: Array,
    mask: Array | None = None,
    *,
    slices: int = 1024,
    knots: int = 17,
    t_max: float = 3.0,
    negatives_axis_name: str | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Makes embeddings an isotropic Gaussian: the Epps-Pulley test of normality on random one-dimensional slices.

    .. math::
        \ell = \operatorname*{mean}_{a} n \int_{-t_{max}}^{t_{max}}
        \Big| \tfrac{1}{n} \sum_i e^{\mathrm{i} t\, a \cdot x_i} - e^{-t^2 / 2} \Big|^2 e^{-t^2 / 2}\, dt

    LeJEPA's only regulariser (there with weight 0.05), against collapse of any kind, in linear time and memory. The slices `a`
    are unit vectors drawn from `key`: a new key every step, the same one on all devices. Vectors are not normalised. Smooth,
    with a bounded gradient. An empty set gives 0.

    Args:
        embeddings: Vectors.
        key: A random key.
        mask: Which items to use; all by default.
        slices: Number of random directions.
        knots: Points of the trapezoidal rule between 0 and `t_max`.
        t_max: Where the integral ends.
        negatives_axis_name: Mesh axis over which the set lies.

    >>> x = jax.random.normal(jax.random.key(0), (256, 8))
    >>> bool(sigreg(x, jax.random.key(1)) < 1 < sigreg(2 * x, jax.random.key(1)))
    True

    References:
        Balestriero, LeCun, LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics, 2025.
        https://arxiv.org/abs/2511.08544
    """
    if slices < 1 or knots < 2:
        raise ValueError(f"sigreg: `slices` must be 1 or more and `knots` 2 or more, got {slices} and {knots}.")
    mesh = devices_of("sigreg", None, negatives_axis_name, False)
    given = items(embeddings, mask=mask)
    number = _count(given, mask, mesh)
    directions = normalize(jax.random.normal(key, (slices, embeddings.shape[1]), embeddings.dtype))
    step = t_max / (knots - 1)

    def at(point: Array, projections: Array) -> Array:
        t = point * step
        angles = t * projections
        kept = given.kept[:, None]
        real, imaginary = (
            mesh.total(jnp.sum(jnp.where(kept, f(angles), 0.0), axis=0)) / jnp.maximum(number, 1) for f in (jnp.cos, jnp.sin)
        )
        window = jnp.exp(-0.5 * t * t)
        weight = jnp.where((point == 0) | (point == knots - 1), 1.0, 2.0) * step
        return weight * window * jnp.sum(jnp.square(real - window) + jnp.square(imaginary))

    def along(directions: Array) -> Array:
        projections = dot(given.vectors, directions)
        points = jnp.arange(knots, dtype=projections.dtype)
        return jnp.sum(lax.map(jax.checkpoint(lambda point: at(point, projections)), points))

    together = slices if mesh.axis_name is not None else SLICES  # between devices there is one sum for each point
    return number * sum_over_blocks(along, directions, together, given.vectors) / slices


def _cosine(x: Array, y: Array) -> Array:
    return jnp.sum(normalize(x) * normalize(y))


def _is_diagonal(size: int) -> Array:
    return jnp.arange(size)[:, None] == jnp.arange(size)[None, :]


def _count(given: Items, mask: Array | None, mesh: Devices) -> Array:
    return mesh.number(mask, given.vectors).astype(given.vectors.dtype)


def _features(x: Array, y: Array) -> Array:
    """The inner products of the features."""
    return dot(x.T, y.T)


def _scatter(centred: Callable[[Items], Array], some: Items) -> Array:
    x = centred(some)
    return _features(x, x)


def _centring(given: Items, number: Array, mesh: Devices) -> tuple[Callable[[Items], Array], Array]:
    """What makes kept items of this set of mean 0 (and others 0), and the biased variance of each feature."""
    mean = mesh.total(jnp.sum(given.vectors, axis=0)) / jnp.maximum(number, 1)

    def centred(some: Items) -> Array:
        return jnp.where(some.kept[:, None], some.vectors - mean[None, :], 0.0)

    return centred, mesh.total(jnp.sum(jnp.square(centred(given)), axis=0)) / jnp.maximum(number, 1)


def _standardization(given: Items, number: Array, mesh: Devices) -> Callable[[Items], Array]:
    """What gives features of this set mean 0 and variance 1; one whose spread is no more than rounding becomes 0.

    One whose squares overflow becomes NaN: divided by infinity it would be 0, as if it were constant.
    """
    centred, variance = _centring(given, number, mesh)
    size = mesh.total(jnp.sum(jnp.square(given.vectors), axis=0)) / jnp.maximum(number, 1)
    variance = jnp.where(size == jnp.inf, jnp.nan, variance)
    constant = variance <= jnp.square(8 * jnp.finfo(variance.dtype).eps) * lax.stop_gradient(size)
    deviation = jnp.sqrt(jnp.where(constant, 1.0, variance))
    return lambda some: jnp.where(constant[None, :], 0.0, centred(some) / deviation[None, :])


def _distilled(student: Array, teacher: Array, center: Array, mask: Array | None, warm: Array | float, cool: Array | float) -> Array:
    teacher = lax.stop_gradient(teacher)
    if mask is not None:
        student, teacher = (jnp.where(mask[:, None], x, 0.0) for x in (student, teacher))
    powers = jnp.exp(log_odds_to_peak(teacher - lax.stop_gradient(center)[None, :])[0] / cool)
    targets = powers / jnp.sum(powers, axis=1, keepdims=True)
    return mean_where(-jnp.sum(targets * log_softmax(student, temperature=warm), axis=1), mask)
