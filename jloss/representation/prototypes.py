"""Metric learning with a learned vector per class: angular margins, proxies, centres.

Letters: `k` classes, `c` sub-centres of a class, `d` features, `n` items. All but `center` normalise embeddings and prototypes.
The prototypes are parameters: pass them like any other array and take their gradient.
"""

import math
from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint
from jloss._core.blocks import sum_over_blocks
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import log_softmax, logsumexp, normalize, pick, safe_divide, safe_norm, safe_sqrt, softplus
from jloss.representation._sets import Items, by_blocks, dot, items, mean_where, number_of, sum_where, without_rounding


@loss("(d),(),(k,d)->()", "real class real", scale="positive")
def arcface(
    embeddings: Array, labels: Array, prototypes: Array, *, margin: float = 0.5, scale: float = 64.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Softmax over angles to class prototypes, where the true angle counts as `margin` larger; the standard for faces.

    .. math::
        \ell = -\log \frac{e^{s \cos(\theta_y + m)}}{e^{s \cos(\theta_y + m)} + \sum_{j \ne y} e^{s \cos \theta_j}}

    Beyond ``pi - margin`` the true logit goes on as ``cos(theta) - margin sin(margin)``, so that it keeps falling. The cosine
    and sine of the true angle are exact at 0 and at pi, with finite gradients there: no arccos, no clipping. For training from
    scratch `cosface` is more forgiving; for noisy labels see `subcenter_arcface`.

    Args:
        embeddings: Vectors, normalised here.
        labels: Their classes.
        prototypes: One vector per class, normalised here.
        margin: Added to the true angle, in radians (pytorch-metric-learning has degrees); between 0 and pi.
        scale: Sharpness of the softmax.

    >>> round(float(arcface(jnp.array([1.0, 0.0]), 0, jnp.array([[1.0, 0.0], [0.0, 1.0]]), scale=4.0)), 4)
    0.0294

    References:
        Deng, Guo, Xue, Zafeiriou, ArcFace: Additive Angular Margin Loss for Deep Face Recognition, 2018. https://arxiv.org/abs/1801.07698
    """
    return _arcface(normalize(embeddings), labels, normalize(prototypes)[:, None, :], margin, scale)


@loss("(d),(),(k,d)->()", "real class real", scale="positive")
def cosface(
    embeddings: Array, labels: Array, prototypes: Array, *, margin: float = 0.35, scale: float = 64.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Softmax over cosines to class prototypes, where the true cosine counts as `margin` smaller.

    .. math::
        \ell = -\log \frac{e^{s (\cos \theta_y - m)}}{e^{s (\cos \theta_y - m)} + \sum_{j \ne y} e^{s \cos \theta_j}}

    Also known as AM-softmax. Smooth everywhere; a zero vector has gradient 0. See `arcface` for a margin in the angle.

    Args:
        embeddings: Vectors, normalised here.
        labels: Their classes.
        prototypes: One vector per class, normalised here.
        margin: Subtracted from the true cosine.
        scale: Sharpness of the softmax.

    >>> round(float(cosface(jnp.array([1.0, 0.0]), 0, jnp.array([[1.0, 0.0], [0.0, 1.0]]), scale=4.0)), 4)
    0.0716

    References:
        Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, 2018. https://arxiv.org/abs/1801.09414
    """
    cosines = _cosines(normalize(embeddings), normalize(prototypes))
    return _margin_softmax(scale * cosines, labels, scale * (pick(cosines, labels) - margin))


@loss("(d),(),(k,d)->()", "real class real", scale="positive")
def sphereface(
    embeddings: Array, labels: Array, prototypes: Array, *, margin: int = 4, scale: float = 64.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Softmax over angles to class prototypes, where the true angle counts `margin` times; the ancestor of `arcface`.

    .. math::
        \ell = -\log \frac{e^{s \psi(\theta_y)}}{e^{s \psi(\theta_y)} + \sum_{j \ne y} e^{s \cos \theta_j}}
        \qquad \psi(\theta) = (-1)^r \cos(m \theta) - 2 r, \quad r = \lfloor m \theta / \pi \rfloor

    The cosine of a multiple is a polynomial of the cosine, so the gradient is finite at 0 and pi. Embeddings are normalised as
    in the other losses here and `scale` takes the place of their length (the paper keeps it; pytorch-metric-learning has 1).
    Hard to train from scratch: start with a margin of 1 or 2.

    Args:
        embeddings: Vectors, normalised here.
        labels: Their classes.
        prototypes: One vector per class, normalised here.
        margin: How many times the true angle counts; a whole number from 1.
        scale: Sharpness of the softmax.

    >>> round(float(sphereface(jnp.array([4.0, 3.0]), 0, jnp.array([[1.0, 0.0], [0.0, 1.0]]), margin=2, scale=4.0)), 4)
    1.5253

    References:
        Liu et al., SphereFace: Deep Hypersphere Embedding for Face Recognition, 2017. https://arxiv.org/abs/1704.08063
    """
    if margin < 1:
        raise ValueError(f"sphereface: `margin` must be 1 or more, got {margin}.")
    units = normalize(embeddings), normalize(prototypes)
    cosine, _ = _true_angle(units[0], _row(units[1], labels))
    before, multiple = jnp.ones_like(cosine), cosine
    for _ in range(margin - 1):
        before, multiple = multiple, 2 * cosine * multiple - before
    turns = sum(jnp.where(cosine < math.cos(j * math.pi / margin), 1, 0) for j in range(1, margin))
    sign = jnp.where(turns % 2 == 0, 1, -1).astype(cosine.dtype)
    return _margin_softmax(scale * _cosines(*units), labels, scale * (sign * multiple - 2 * jnp.asarray(turns, cosine.dtype)))


@loss("(d),(),(k,c,d)->()", "real class real", scale="positive")
@hint(needs={"c": "centres"})
def subcenter_arcface(
    embeddings: Array, labels: Array, prototypes: Array, *, margin: float = 0.5, scale: float = 64.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""`arcface` with several prototypes per class, of which the nearest counts: wrong labels gather around the spare ones.

    .. math::
        \ell = -\log \frac{e^{s \cos(\theta_y + m)}}{e^{s \cos(\theta_y + m)} + \sum_{j \ne y} e^{s \cos \theta_j}}
        \qquad \cos \theta_j = \max_i \cos \theta_{ji}

    Only the nearest prototype of each class has a gradient. With one prototype per class it is `arcface`.

    Args:
        embeddings: Vectors, normalised here.
        labels: Their classes.
        prototypes: Several vectors per class, normalised here; the paper takes 3.
        margin: Added to the true angle, in radians; between 0 and pi.
        scale: Sharpness of the softmax.

    >>> prototypes = jnp.array([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.6, 0.8]]])
    >>> round(float(subcenter_arcface(jnp.array([1.0, 0.0]), 0, prototypes, scale=4.0)), 4)
    0.2848

    References:
        Deng, Guo, Liu, Gong, Zafeiriou, Sub-center ArcFace: Boosting Face Recognition by Large-Scale Noisy Web Faces, 2020.
        https://doi.org/10.1007/978-3-030-58621-8_43
    """
    return _arcface(normalize(embeddings), labels, normalize(prototypes), margin, scale)


@loss("(d),(),(k,d)->()", "real class real", temperature="positive")
def normalized_softmax(
    embeddings: Array, labels: Array, prototypes: Array, *, temperature: float = 0.05, **reduce: Unpack[Reduce]
) -> Array:
    r"""Softmax over cosines to class prototypes, without a margin: a strong and simple baseline.

    .. math::
        \ell = -\log \frac{e^{\cos \theta_y / \tau}}{\sum_j e^{\cos \theta_j / \tau}}

    Smooth everywhere; a zero vector has gradient 0. With a margin it is `cosface`.

    Args:
        embeddings: Vectors, normalised here.
        labels: Their classes.
        prototypes: One vector per class, normalised here.
        temperature: Divides the cosines; small values sharpen the softmax.

    >>> round(float(normalized_softmax(jnp.array([4.0, 3.0]), 0, jnp.array([[1.0, 0.0], [0.0, 1.0]]), temperature=0.1)), 4)
    0.1269

    References:
        Zhai, Wu, Classification is a Strong Baseline for Deep Metric Learning, 2018. https://arxiv.org/abs/1811.12649
    """
    return -pick(log_softmax(_cosines(normalize(embeddings), normalize(prototypes)), temperature=temperature), labels)


@loss("(d),(),(k,c,d)->()", "real class real", scale="positive", gamma="positive")
@hint(needs={"c": "centres"})
def soft_triple(
    embeddings: Array,
    labels: Array,
    prototypes: Array,
    *,
    scale: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Softmax over similarities to classes with several centres each, softly the nearest: for classes with several modes.

    .. math::
        \ell = -\log \frac{e^{\lambda (S_y - \delta)}}{e^{\lambda (S_y - \delta)} + \sum_{j \ne y} e^{\lambda S_j}} \qquad
        S_j = \sum_i \frac{e^{s_{ji} / \gamma}}{\sum_{i'} e^{s_{ji'} / \gamma}}\, s_{ji}

    Add a little (0.2 in the paper) of `soft_triple_regularizer` to merge centres that are not needed. Smooth everywhere.

    Args:
        embeddings: Vectors, normalised here.
        labels: Their classes.
        prototypes: Several centres per class, normalised here; the paper takes 10.
        scale: Sharpness of the softmax over classes, lambda.
        gamma: Softness of the choice among the centres of a class.
        margin: Subtracted from the true similarity, delta.

    >>> round(float(soft_triple(jnp.array([1.0, 0.0]), 0, jnp.array([[[1.0, 0.0], [0.8, 0.6]], [[0.6, 0.8], [0.0, 1.0]]]), scale=4.0)), 4)
    0.2068

    References:
        Qian et al., SoftTriple Loss: Deep Metric Learning Without Triplet Sampling, 2019. https://arxiv.org/abs/1909.05235
    """
    k, c, d = prototypes.shape
    cosines = _cosines(normalize(embeddings), normalize(prototypes).reshape(k * c, d)).reshape(k, c)
    similarity = jnp.sum(jax.nn.softmax(cosines / gamma, axis=1) * cosines, axis=1)
    return _margin_softmax(scale * similarity, labels, scale * (pick(similarity, labels) - margin))


@loss("(k,c,d)->()", "real")
@hint(time="c^2", memory="c^2", needs={"c": "centres"})
def soft_triple_regularizer(prototypes: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Draws the centres of each class together, so that those of `soft_triple` that are not needed coincide.

    .. math::
        R = \frac{1}{k\, c\, (c - 1)} \sum_j \sum_{i < i'} |w_{ji} - w_{ji'}|

    Half the mean distance between two centres of a class. The distance, not its square: it makes them meet exactly. Where they
    have, the gradient is 0 (the root of ``2 - 2 cos`` in the original is infinite there).

    Args:
        prototypes: Several centres per class, normalised here.

    >>> round(float(soft_triple_regularizer(jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]]))), 4)
    0.3536

    References:
        Qian et al., SoftTriple Loss: Deep Metric Learning Without Triplet Sampling, 2019. https://arxiv.org/abs/1909.05235
    """
    k, c, _ = prototypes.shape
    units = normalize(prototypes)
    distances = safe_norm(units[:, :, None, :] - units[:, None, :, :])
    # A centre and itself differ by rounding, too: XLA rounds the unit vector of only one.
    return 0.5 * jnp.sum(without_rounding(distances)) / (k * c * max(c - 1, 1))


@loss("(n,d),(n),(k,d),(n)->()", "real class real mask", scale="positive")
def proxy_nca(
    embeddings: Array, labels: Array, proxies: Array, mask: Array | None = None, *, scale: float = 3.0, **reduce: Unpack[Reduce]
) -> Array:
    r"""Each item should be nearer to its class's proxy than to the other proxies: no triplets to find.

    .. math::
        \ell = \operatorname*{mean}_i -\log \frac{e^{-\text{scale}\, |x_i - p_{y_i}|^2}}{\sum_j e^{-\text{scale}\, |x_i - p_j|^2}}

    Of unit vectors, with the own proxy in the denominator (ProxyNCA++; the first paper leaves it out, and so can go below 0).
    Items whose probability underflows keep their full gradient (pytorch-metric-learning drops these, its hardest ones).

    Args:
        embeddings: One vector per item, normalised here.
        labels: Their classes.
        proxies: One vector per class, normalised here.
        mask: Which items to use; all by default.
        scale: Sharpness of the softmax.

    >>> round(float(proxy_nca(jnp.array([[1.0, 0.0], [0.6, 0.8]]), jnp.array([0, 1]), jnp.array([[1.0, 0.0], [0.0, 1.0]]))), 4)
    0.1329

    References:
        Movshovitz-Attias et al., No Fuss Distance Metric Learning using Proxies, 2017. https://arxiv.org/abs/1703.07464
        Teh, DeVries, Taylor, ProxyNCA++, 2020. https://arxiv.org/abs/2004.01113
    """
    given = items(embeddings, labels, mask, unit=True)
    units = normalize(proxies)
    present = jnp.sum(jnp.square(units), axis=1)

    def total(rows: Items) -> Array:
        own = jnp.sum(jnp.square(rows.vectors), axis=1)
        squares = own[:, None] + present[None, :] - 2 * dot(rows.vectors, units)
        return sum_where(-jax.vmap(pick)(log_softmax(-scale * squares), rows.labels), rows.kept)

    number = number_of(mask, embeddings)
    return safe_divide(sum_over_blocks(total, given, 128), number.astype(units.dtype))


@loss("(n,d),(n),(k,d),(n)->()", "real class real mask", alpha="positive")
def proxy_anchor(
    embeddings: Array,
    labels: Array,
    proxies: Array,
    mask: Array | None = None,
    *,
    margin: float = 0.1,
    alpha: float = 32.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Each proxy draws the items of its class and repels the others, the hard ones most: fast and robust.

    .. math::
        \ell = \operatorname*{mean}_{p \in P^+} \log\Big(1 + \sum_{x \in X_p} e^{-\alpha (s_{xp} - m)}\Big)
        + \operatorname*{mean}_{p} \log\Big(1 + \sum_{x \notin X_p} e^{\alpha (s_{xp} + m)}\Big)

    ``P+`` are the proxies with an item in the set; `s` are cosines. An empty set gives 0. A label outside the classes gives NaN.
    Smooth; a zero vector has gradient 0.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Their classes.
        proxies: One vector per class, normalised here.
        mask: Which items to use; all by default.
        margin: The cosine that items should exceed with their own proxy, and stay below its negative with others.
        alpha: Sharpness.

    >>> round(float(proxy_anchor(jnp.array([[1.0, 0.0], [0.6, 0.8]]), jnp.array([0, 1]), jnp.array([[1.0, 0.0], [0.0, 1.0]]))), 3)
    12.82

    References:
        Kim, Kim, Cho, Kwak, Proxy Anchor Loss for Deep Metric Learning, 2020. https://arxiv.org/abs/2003.13911
    """
    given = items(embeddings, labels, mask, unit=True)
    classes = jnp.arange(proxies.shape[0])

    def block(given_proxies: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        units, names = given_proxies
        cosines = jnp.matmul(units, given.vectors.T, precision=lax.Precision.HIGHEST)  # one transpose for all blocks
        own = names[:, None] == given.labels[None, :].astype(names.dtype)
        drawn = logsumexp(jnp.where(own & given.kept[None, :], -alpha * (cosines - margin), -jnp.inf), axis=1)
        pushed = logsumexp(jnp.where(~own & given.kept[None, :], alpha * (cosines + margin), -jnp.inf), axis=1)
        return softplus(drawn), softplus(pushed), jnp.any(own & given.kept[None, :], axis=1)

    drawn, pushed, has_items = by_blocks(block, (normalize(proxies), classes))
    known = jnp.all(((given.labels >= 0) & (given.labels < proxies.shape[0])) | ~given.kept)
    return jnp.where(known, mean_where(drawn, has_items) + jnp.mean(pushed), jnp.nan)


@loss("(d),(),(k,d)->()", "real class real")
def center(embeddings: Array, labels: Array, centers: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Half the squared distance to the centre of the true class: compact classes, beside a softmax loss.

    .. math::
        \ell = \tfrac{1}{2} |\text{embeddings} - \text{centers}_y|^2

    Alone it collapses: add a small part of it to a classification loss. Its gradient in a centre is the sum of the differences
    of its items; the paper's moving average is a step of gradient descent with a step size per class.

    Args:
        embeddings: Vectors; not normalised.
        labels: Their classes.
        centers: One vector per class.

    >>> center(jnp.array([1.0, 2.0]), 1, jnp.array([[0.0, 0.0], [1.0, 0.0]]))
    Array(2., dtype=float32)

    References:
        Wen, Zhang, Li, Qiao, A Discriminative Feature Learning Approach for Deep Face Recognition, 2016.
        https://doi.org/10.1007/978-3-319-46478-7_31
    """
    return 0.5 * jnp.sum(jnp.square(embeddings - _row(centers, labels)))


def _arcface(unit: Array, labels: Array, prototypes: Array, margin: Array | float, scale: Array | float) -> Array:
    k, c, d = prototypes.shape
    cosines = _cosines(unit, prototypes.reshape(k * c, d)).reshape(k, c)
    nearest = jnp.argmax(cosines, axis=1)
    chosen = jnp.arange(c, dtype=nearest.dtype)[None, :] == nearest[:, None]
    candidates = _row(prototypes, labels)
    own = jnp.take(candidates, jnp.argmax(_cosines(unit, candidates)), axis=0, mode="clip")
    cosine, sine = _true_angle(unit, own)
    shifted = cosine * jnp.cos(margin) - sine * jnp.sin(margin)
    within = cosine >= -jnp.cos(margin)
    target = jnp.where(within, shifted, cosine - margin * jnp.sin(margin))
    return _margin_softmax(scale * jnp.sum(jnp.where(chosen, cosines, 0.0), axis=1), labels, scale * target)


def _true_angle(x: Array, y: Array) -> tuple[Array, Array]:
    """Cosine and sine of the angle of two unit vectors, exact at 0 and pi; a zero vector is at a right angle to everything."""
    some = jnp.any(x != 0) & jnp.any(y != 0)
    apart, along = jnp.sum(jnp.square(x - y)), jnp.sum(jnp.square(x + y))
    cosine = jnp.where(apart < along, 1 - 0.5 * apart, 0.5 * along - 1)
    sine = 0.5 * safe_sqrt(without_rounding(apart, 2)) * safe_sqrt(without_rounding(along, 2))
    return jnp.where(some, cosine, jnp.sum(x * y)), jnp.where(some, sine, 1.0)


def _cosines(unit: Array, prototypes: Array) -> Array:
    return lax.dot_general(unit, prototypes, (((unit.ndim - 1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


def _margin_softmax(logits: Array, label: Array, target: Array) -> Array:
    """Cross entropy where the true logit is `target`."""
    is_true = jnp.arange(logits.shape[0], dtype=label.dtype) == label
    return softplus(logsumexp(jnp.where(is_true, -jnp.inf, logits)) - target)


def _row(table: Array, label: Array) -> Array:
    """``table[label]``; NaN for a label outside."""
    k = table.shape[0]
    inside = (label >= 0) & (label < k)
    row = jnp.take(table, jnp.where(inside, label, 0), axis=0, mode="clip")
    return jnp.where(inside, row, jnp.nan)
