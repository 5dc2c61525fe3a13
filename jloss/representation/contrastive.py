"""Contrastive learning: one example is a set of `n` items with `d` features, whose other items are the negatives.

All of these normalise their vectors. `mask` drops an item (NaN included) as row and as column. `chunk_size` bounds the memory:
no more than so many rows times all columns are held at once, as a tile, and a tile is computed again for the gradient. Without
it a matrix of up to 4096 x 4096 is held, and a larger one computed in tiles of 512 x 512. Inside
`jax.shard_map`, `negatives_axis_name` says over which mesh axis the other items of the set lie; the loss is then that of the
whole set, the same number on every device, with the exact gradient. They are gathered, or, with `ring`, visited one
device's items at a time. Cosines are rounded: in float32 a loss is off by about 1e-7 over the temperature, to either side, so
that a single item, or a set that is told apart, gives up to 4e-7 for 0 at a temperature of 0.1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint
from jloss._core.domains import is_known
from jloss._core.loss import loss
from jloss._core.pairs import value_of_tiles
from jloss._core.signature import Reduce
from jloss.numerics import logsumexp, softplus
from jloss.representation._sets import Items, items, mean_where, number_of, recentered, squared_distances
from jloss.representation._tiles import (
    BLOCK,
    Among,
    Devices,
    Logits,
    RowSums,
    both_kept,
    cosine_logits,
    cosines,
    devices_of,
    either,
    is_small,
    needs_tiles,
    negatives,
    no_columns,
    of_parts,
    one_sided,
    other_items,
    over_devices,
    positives,
    reduce_tiles,
    same_item,
    symmetric,
    tile_side,
    two_sided,
)


@loss("(n,d),(n,d),(n)->()", "real real mask", temperature="positive")
@hint(time="n^2")
def info_nce(
    queries: Array,
    keys: Array,
    mask: Array | None = None,
    *,
    temperature: float = 0.1,
    chunk_size: int | None = None,
    negatives_axis_name: str | None = None,
    ring: bool = False,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Each query should recognise its key among the keys of the whole set: one direction, cross-modal or self-supervised.

    .. math::
        \ell = \operatorname*{mean}_i -\log \frac{e^{\cos(q_i, k_i) / \tau}}{\sum_j e^{\cos(q_i, k_j) / \tau}}

    Both directions together are `clip`; with the other queries as further negatives it is `nt_xent`. A single item has nothing
    to be told from and gives 0. Smooth; a zero vector has gradient 0.

    Args:
        queries: Vectors, normalised here.
        keys: The vector that belongs to each query, normalised here.
        mask: Which pairs to use; all by default.
        temperature: Divides the cosines; small values sharpen the softmax. May be learned.
        chunk_size: Rows at once; all by default.
        negatives_axis_name: Mesh axis over which the set lies.
        ring: Whether shards of the keys are passed around (`ppermute`, one held at a time) instead of gathered.

    >>> round(float(info_nce(jnp.eye(2), jnp.eye(2), temperature=1.0)), 4)
    0.3133

    References:
        van den Oord, Li, Vinyals, Representation Learning with Contrastive Predictive Coding, 2018. https://arxiv.org/abs/1807.03748
    """
    mesh = devices_of("info_nce", chunk_size, negatives_axis_name, ring)
    rows, columns = (mesh.globally(items(x, mask=mask, unit=chunk_size is None)) for x in (queries, keys))
    logits = cosine_logits(1 / temperature, chunk_size)

    def finish(denominator: Array, own: Array) -> Array:
        return mesh.mean(denominator - own, mask)

    return one_sided(rows, columns, logits, both_kept, same_item, chunk_size, mesh, finish)


@loss("(n,d),(n,d),(n)->()", "real real mask", temperature="positive")
@hint(time="n^2")
def nt_xent(
    first: Array,
    second: Array,
    mask: Array | None = None,
    *,
    temperature: float = 0.1,
    chunk_size: int | None = None,
    negatives_axis_name: str | None = None,
    ring: bool = False,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""SimCLR's loss: two views of each item; every view should recognise the other among all 2n - 1 remaining ones.

    .. math::
        \ell = \operatorname*{mean}_{i \in 1..2n} -\log \frac{e^{s_{i i'} / \tau}}{\sum_{j \ne i} e^{s_{ij} / \tau}}

    `s` are cosines of the 2n vectors, `i'` is the other view of `i`. The 2n x 2n matrix is symmetric: each block is computed
    once and serves its rows and its columns, and the whole matrix is never held. A single item gives 0. The form by labels, in
    which more than two views belong together, is `supervised_contrastive` (optax.ntxent is yet another: the other positives
    are left out of its denominator, it is NaN without positives, and needs n * n * d memory).

    Args:
        first: First views, normalised here.
        second: Second views, normalised here.
        mask: Which items to use; all by default.
        temperature: Divides the cosines; small values sharpen the softmax. SimCLR has 0.1 for ImageNet and 0.5 for CIFAR.
        chunk_size: Rows at once; by default what is fast.
        negatives_axis_name: Mesh axis over which the set lies.
        ring: Whether shards of the views are passed around (`ppermute`, one held at a time) instead of gathered.

    >>> round(float(nt_xent(jnp.eye(2), jnp.eye(2), temperature=1.0)), 4)
    0.5514

    References:
        Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual Representations, 2020.
        https://arxiv.org/abs/2002.05709
    """
    mesh = devices_of("nt_xent", chunk_size, negatives_axis_name, ring)
    views, logits = _views(first, second, mask, chunk_size, mesh), cosine_logits(1 / temperature, chunk_size)

    def finish(denominator: Array, own: Array) -> Array:
        return mesh.mean(denominator - own, None if mask is None else views.kept)

    return _of_views(views, logits, other_items, chunk_size, mesh, finish)


@loss("(n,d),(n),(n)->()", "real group mask", temperature="positive")
@hint(time="n^2")
def supervised_contrastive(
    embeddings: Array,
    labels: Array,
    mask: Array | None = None,
    *,
    temperature: float = 0.1,
    chunk_size: int | None = None,
    negatives_axis_name: str | None = None,
    ring: bool = False,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Every item should recognise all others of its class: contrastive learning with labels.

    .. math::
        \ell = \operatorname*{mean}_{i:\, P_i \ne \emptyset} \frac{1}{|P_i|} \sum_{p \in P_i}
        -\log \frac{e^{s_{ip} / \tau}}{\sum_{j \ne i} e^{s_{ij} / \tau}}

    ``P_i`` are the other items with the label of `i`. The mean is over items that have a positive (0 if none has): the original
    is 0/0 there, pytorch-metric-learning averages over items with a loss other than 0. The factor ``temperature / 0.07`` of
    the original is left out. Embed both views of an image and repeat the labels.

    Args:
        embeddings: One vector per item, normalised here.
        labels: Which items belong together: any integers.
        mask: Which items to use; all by default.
        temperature: Divides the cosines; small values sharpen the softmax.
        chunk_size: Rows at once; by default what is fast.
        negatives_axis_name: Mesh axis over which the set lies.
        ring: Whether shards of the items are passed around (`ppermute`, one held at a time) instead of gathered.

    >>> round(float(supervised_contrastive(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0, 1]), temperature=1.0)), 4)
    0.3133

    References:
        Khosla et al., Supervised Contrastive Learning, 2020. https://arxiv.org/abs/2004.11362
    """
    mesh = devices_of("supervised_contrastive", chunk_size, negatives_axis_name, ring)
    given = mesh.globally(items(embeddings, labels, mask, unit=chunk_size is None), labels_too=False)
    number = over_devices(lambda columns: _number_of_positives(given, columns, chunk_size), given, jnp.add, mesh)

    def finish(denominator: Array, drawn: Array) -> Array:
        return mesh.mean(denominator - drawn / jnp.maximum(number, 1).astype(drawn.dtype), number > 0)

    return _within(given, cosine_logits(1 / temperature, chunk_size), other_items, positives, chunk_size, mesh, finish)


@loss("(n,d),(n,d),(n)->()", "real real mask", temperature="positive", sigma="positive")
@hint(time="n^2")
def decoupled_contrastive(
    first: Array,
    second: Array,
    mask: Array | None = None,
    *,
    temperature: float = 0.1,
    sigma: float | None = None,
    chunk_size: int | None = None,
    negatives_axis_name: str | None = None,
    ring: bool = False,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""`nt_xent` without the positive in the denominator: the gradient does not fade where the positive is easy.

    .. math::
        \ell = \operatorname*{mean}_{i \in 1..2n} -w_i \frac{s_{i i'}}{\tau} + \log \sum_{j \ne i, i'} e^{s_{ij} / \tau}
        \qquad w_i = 2 - \frac{e^{s_{i i'} / \sigma}}{\operatorname{mean}_j e^{s_{j j'} / \sigma}}

    Learns well from small sets, where `nt_xent` does not. Without `sigma` the weights are 1 (DCL), with it they are constants
    for the gradient (DCL-W). May be below 0. A set of one item has no negatives and gives 0.

    Args:
        first: First views, normalised here.
        second: Second views, normalised here.
        mask: Which items to use; all by default.
        temperature: Divides the cosines; small values sharpen the softmax.
        sigma: Weighs hard positives more; 0.5 in the paper, None for equal weights.
        chunk_size: Rows at once; by default what is fast.
        negatives_axis_name: Mesh axis over which the set lies.
        ring: Whether shards of the views are passed around (`ppermute`, one held at a time) instead of gathered.

    >>> round(float(decoupled_contrastive(jnp.eye(2), jnp.eye(2), temperature=1.0)), 4)
    -0.3069

    References:
        Yeh et al., Decoupled Contrastive Learning, 2021. https://arxiv.org/abs/2110.06848
    """
    mesh = devices_of("decoupled_contrastive", chunk_size, negatives_axis_name, ring)
    views, logits = _views(first, second, mask, chunk_size, mesh), cosine_logits(1 / temperature, chunk_size)

    def finish(denominator: Array, own: Array) -> Array:
        weight = jnp.ones_like(own)
        if sigma is not None:
            sharp = lax.stop_gradient((own * temperature - 1) / sigma)
            weight = 2 - jnp.exp(sharp) / mesh.mean(jnp.exp(sharp), None if mask is None else views.kept)
        usable = views.kept & (denominator != -jnp.inf)
        return mesh.mean(jnp.where(usable, denominator, 0.0) - weight * own, usable)

    return _of_views(views, logits, negatives, chunk_size, mesh, finish)


@loss("(n,d),(n,d),(n)->()", "real real mask", scale="positive")
@hint(time="n^2")
def clip(
    images: Array,
    texts: Array,
    mask: Array | None = None,
    *,
    scale: float = 1 / 0.07,
    chunk_size: int | None = None,
    negatives_axis_name: str | None = None,
    ring: bool = False,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Each image should recognise its text among all texts, and each text its image among all images.

    .. math::
        \ell = \tfrac{1}{2} \operatorname*{mean}_i \Big( -\log \frac{e^{z_{ii}}}{\sum_j e^{z_{ij}}}
        -\log \frac{e^{z_{ii}}}{\sum_j e^{z_{ji}}} \Big) \qquad z_{ij} = \text{scale} \cos(\text{image}_i, \text{text}_j)

    One matrix of logits serves both directions, and on several devices, too: the sums over images are completed between
    them, the images themselves never move. A single pair gives 0. For large sets without a softmax see `siglip`.

    Args:
        images: Vectors, normalised here.
        texts: The vector that belongs to each image, normalised here.
        mask: Which pairs to use; all by default.
        scale: The inverse temperature; learned in practice, as ``jnp.minimum(jnp.exp(log_scale), 100)``.
        chunk_size: Rows at once; all by default.
        negatives_axis_name: Mesh axis over which the set lies.
        ring: Whether shards of the texts are passed around (`ppermute`, one held at a time) instead of gathered.

    >>> round(float(clip(jnp.eye(2), jnp.eye(2), scale=1.0)), 4)
    0.3133

    References:
        Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021. https://arxiv.org/abs/2103.00020
    """
    mesh = devices_of("clip", chunk_size, negatives_axis_name, ring)
    rows, columns = (mesh.globally(items(x, mask=mask, unit=chunk_size is None)) for x in (images, texts))

    def finish(by_row: Array, own: Array, by_column: Array) -> Array:
        return mesh.mean(0.5 * (by_row + by_column) - own, mask)

    return two_sided(rows, columns, cosine_logits(scale, chunk_size), chunk_size, mesh, finish)


@loss("(n,d),(n,d),(n)->()", "real real mask", scale="positive")
@hint(time="n^2")
def siglip(
    images: Array,
    texts: Array,
    mask: Array | None = None,
    *,
    scale: float = 10.0,
    bias: float = -10.0,
    chunk_size: int | None = None,
    negatives_axis_name: str | None = None,
    ring: bool = False,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""A sigmoid for every pair of image and text, does it belong together or not: `clip` without the softmax.

    .. math::
        \ell = \frac{1}{n} \sum_{ij} \log\big(1 + e^{-y_{ij} (\text{scale} \cos(\text{image}_i, \text{text}_j) + \text{bias})}\big)
        \qquad y_{ij} = \pm 1

    The sum over all pairs is divided by the number of rows, not of pairs. Pairs do not compete, so it works for small sets, and
    chunks and rings need nothing but a sum. The gradient is bounded by `scale`.

    Args:
        images: Vectors, normalised here.
        texts: The vector that belongs to each image, normalised here.
        mask: Which pairs to use; all by default.
        scale: The inverse temperature; learned in practice, through its logarithm.
        bias: Added to every logit; learned, it starts low because most pairs are negative.
        chunk_size: Rows at once; all by default.
        negatives_axis_name: Mesh axis over which the set lies.
        ring: Whether shards of the texts are passed around (`ppermute`, one held at a time) instead of gathered.

    >>> round(float(siglip(jnp.eye(2), jnp.eye(2))), 4)
    0.6932

    References:
        Zhai, Mustafa, Kolesnikov, Beyer, Sigmoid Loss for Language Image Pre-Training, 2023. https://arxiv.org/abs/2303.15343
    """
    mesh = devices_of("siglip", chunk_size, negatives_axis_name, ring)
    rows, columns = (mesh.globally(items(x, mask=mask, unit=chunk_size is None)) for x in (images, texts))

    small = is_small(abs(scale) + abs(bias))

    def toward(rows: Items, columns: Items) -> Array:
        logits = scale * cosines(rows, columns, chunk_size) + bias
        return jnp.where(same_item(rows, columns), -logits, logits)

    def quick(rows: Items, columns: Items) -> Array:
        powers = jnp.exp(toward(rows, columns) if small is True else jnp.where(small, toward(rows, columns), 0.0))
        return jnp.sum(jnp.where(both_kept(rows, columns), jnp.log1p(powers), 0.0), axis=1)

    def slow(rows: Items, columns: Items) -> Array:
        return jnp.sum(jnp.where(both_kept(rows, columns), softplus(toward(rows, columns)), 0.0), axis=1)

    def tiled(rows: Items, columns: Items) -> Array:
        return reduce_tiles(lambda rows, columns: (slow(rows, columns), ()), rows, columns, tile_side(chunk_size, columns))[0]

    def tile(row: Items, column: Items, *new: Array) -> tuple[list[Array], list[Array]]:
        some, others = row._replace(kept=row.kept & new[0]), column._replace(kept=column.kept & new[1])
        return [either(small, quick, slow, some, others)], []

    if mesh.axis_name is None and needs_tiles(chunk_size, rows, columns) and is_known(rows.index.shape[0]) and images.shape[0] > 0:
        return value_of_tiles(tile, lambda each, _: mesh.mean(each[0], mask), rows, columns, tile_side(chunk_size, columns) or BLOCK)

    def against(columns: Items) -> Array:
        if needs_tiles(chunk_size, rows, columns):
            return tiled(rows, columns)
        return either(small, quick, jax.checkpoint(tiled), rows, columns)

    return mesh.mean(over_devices(against, columns, jnp.add, mesh), mask)


@loss("(n,d),(n,d),(n)->()", "real real mask")
def alignment(first: Array, second: Array, mask: Array | None = None, **reduce: Unpack[Reduce]) -> Array:
    r"""Mean squared distance of the two views of each item on the unit sphere; the attracting half of contrastive learning.

    .. math::
        \ell = \operatorname*{mean}_i |x_i - y_i|^2

    Between 0 and 4. Alone it collapses to one point: add `uniformity`.

    Args:
        first: First views, normalised here.
        second: Second views, normalised here.
        mask: Which items to use; all by default.

    >>> alignment(jnp.eye(2), jnp.array([[1.0, 0.0], [1.0, 0.0]]))
    Array(1., dtype=float32)

    References:
        Wang, Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere, 2020.
        https://arxiv.org/abs/2005.10242
    """
    a, b = items(first, mask=mask, unit=True), items(second, mask=mask, unit=True)
    return mean_where(jnp.sum(jnp.square(a.vectors - b.vectors), axis=1), mask)


@loss("(n,d),(n)->()", "real mask", t="positive")
@hint(time="n^2")
def uniformity(
    embeddings: Array, mask: Array | None = None, *, t: float = 2.0, chunk_size: int | None = None, **reduce: Unpack[Reduce]
) -> Array:
    r"""How unevenly items cover the unit sphere: the logarithm of their mean Gaussian potential; the repelling half.

    .. math::
        \ell = \log \operatorname*{mean}_{i \ne j} e^{-t |x_i - x_j|^2}

    At most 0, which it is when all items coincide (with gradient 0). One item, or none, gives 0.

    Args:
        embeddings: Vectors, normalised here.
        mask: Which items to use; all by default.
        t: Sharpness of the potential.
        chunk_size: Rows at once; all by default.

    >>> round(float(uniformity(jnp.array([[1.0, 0.0], [-1.0, 0.0]]))), 4)
    -8.0

    References:
        Wang, Isola, Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere, 2020.
        https://arxiv.org/abs/2005.10242
    """
    devices_of("uniformity", chunk_size, None, False)
    given = recentered(items(embeddings, mask=mask, unit=True))

    def closeness(rows: Items, columns: Items) -> Array:
        return -t * squared_distances(rows.vectors, columns.vectors)

    logits = Logits(closeness, closeness, is_small(4 * t))
    number = number_of(mask, embeddings).astype(embeddings.dtype)

    def finish(by_row: Array, _: Array) -> Array:
        total = jnp.where(number > 1, logsumexp(by_row), 0.0)
        return jnp.where(number > 1, total - jnp.log(jnp.maximum(number * (number - 1), 1)), 0.0)

    return symmetric(given, logits, other_items, no_columns, chunk_size, finish)


class _Views(NamedTuple):
    """Two views of each item, each with the label of its item, and which of them are kept."""

    first: Items
    second: Items
    mesh: Devices

    @property
    def kept(self) -> Array:
        return jnp.concatenate([self.first.kept, self.second.kept])

    @property
    def together(self) -> Items:
        return self.mesh.globally(jax.tree.map(lambda x, y: jnp.concatenate([x, y]), self.first, self.second))


def _views(first: Array, second: Array, mask: Array | None, chunk_size: int | None, mesh: Devices) -> _Views:
    a, b = (items(x, mask=mask, unit=chunk_size is None) for x in (first, second))
    return _Views(a, b._replace(index=b.index + first.shape[0]), mesh)


def _of_views(
    views: _Views, logits: Logits, denominator: Among, chunk_size: int | None, mesh: Devices, finish: Callable[[Array, Array], Array]
) -> Array:
    """Of each view over the views of other devices, too; numerator by the other view of its item."""
    n = views.first.index.shape[0]
    direct = chunk_size is None
    numerator = no_columns if direct else positives
    both = jnp.concatenate([logits.own(views.first, views.second)] * 2) if direct else None
    if mesh.axis_name is None and is_known(n) and n > (BLOCK if direct else 0):
        parts = views.first, views.second
        size = tile_side(chunk_size, views.first) or BLOCK
        size = max(1, size // 2) if direct else size

        def end(by_row: list[RowSums], _: list[RowSums]) -> Array:
            found, drawn = (jnp.concatenate(x) for x in zip(*by_row, strict=True))
            return finish(found, drawn if both is None else both)

        return of_parts(end, parts, parts, logits, denominator, numerator, size, "triangle")

    def finished(found: Array, drawn: Array) -> Array:
        return finish(found, drawn if both is None else both)

    return _within(views.together, logits, denominator, numerator, chunk_size, mesh, finished)


def _within(
    given: Items,
    logits: Logits,
    denominator: Among,
    numerator: Among,
    chunk_size: int | None,
    mesh: Devices,
    finish: Callable[[Array, Array], Array],
) -> Array:
    """Of each item over its set, which is on this device or on several."""
    if mesh.axis_name is None:
        return symmetric(given, logits, denominator, numerator, chunk_size, finish)
    return one_sided(given, given, logits, denominator, numerator, chunk_size, mesh, finish)


def _number_of_positives(rows: Items, columns: Items, chunk_size: int | None) -> Array:
    def tile(rows: Items, columns: Items) -> tuple[Array, Any]:
        return jnp.sum(positives(rows, columns), axis=1, dtype=jnp.int32), ()

    return reduce_tiles(tile, rows, columns, tile_side(chunk_size, columns))[0]
