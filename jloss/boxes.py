"""Losses of axis-aligned boxes (predictions, targets), each with the corners ``(x0, y0, x1, y1)`` of one box.

All of them stand on one helper, `_compare`, which measures the pair: its sides, overlap, union and hull. A box whose corners
are exchanged counts as empty where areas are measured; where sides or centres are compared its raw sides are, so that it is
pulled back into shape. An empty box overlaps nothing, not even itself. All divisions are guarded where the divisor is exactly 0
and nowhere else, so boxes of size 1e-4 are compared as accurately as boxes of size 1e4. On identical boxes of any area
every gradient is 0: `jnp.maximum` splits the gradient of a tie evenly, and the halves cancel.
"""

import math
from typing import NamedTuple, Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._loss import Reduce, loss
from jloss._math import positive_part, safe_divide, safe_log
from jloss._shapes import widest


@loss("(4),(4)->()", "box box")
def iou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""One minus the overlap of two boxes: the measure that detection is judged by, but blind where boxes are disjoint.

    .. math::
        \ell = 1 - \mathrm{IoU}, \qquad
        \mathrm{IoU} = \frac{|\text{predictions} \cap \text{targets}|}{|\text{predictions} \cup \text{targets}|}

    Between 0 and 1. Disjoint boxes give 1 with gradient 0, so a prediction that misses never learns: use `giou`, `diou` or
    `ciou` to train, and this to measure.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.

    >>> iou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 4.0, 3.0]))
    Array(0.8888889, dtype=float32)

    References:
        Jaccard, The Distribution of the Flora in the Alpine Zone, 1912. https://doi.org/10.1111/j.1469-8137.1912.tb05611.x
    """
    return 1 - _compare(predictions, targets).iou


@loss("(4),(4)->()", "box box", epsilon="positive")
def log_iou(predictions: Array, targets: Array, *, epsilon: float = 1e-6, **reduce: Unpack[Reduce]) -> Array:
    r"""Minus the logarithm of the overlap: steep for poor overlaps, where `iou` is flat.

    .. math::
        \ell = -\log \max(\mathrm{IoU}, \varepsilon)

    The UnitBox loss. Its gradient is that of `iou` divided by the IoU. Disjoint boxes sit on the floor, ``-log(epsilon)``,
    with gradient 0.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        epsilon: The least IoU that is told from none.

    >>> log_iou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([0.0, 0.0, 2.0, 1.0]))
    Array(0.6931472, dtype=float32)

    References:
        Yu, Jiang, Wang, Cao and Huang, UnitBox: An Advanced Object Detection Network, 2016. https://arxiv.org/abs/1608.01471
    """
    overlap = _compare(predictions, targets).iou
    return -safe_log(jnp.where(overlap < epsilon, epsilon, overlap))


@loss("(4),(4)->()", "box box")
def giou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` plus the share of the hull that neither box fills: disjoint boxes attract each other.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{|C| - |\text{predictions} \cup \text{targets}|}{|C|}

    with :math:`C` the smallest box around both. Between 0 and 2. While a box is inside the other the last term is constant or
    weak and the loss behaves as `iou`; disjoint boxes first grow towards each other, then overlap. `diou` moves them directly.
    Two empty boxes at one point give 1, as in torchvision.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.

    >>> giou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([[1.0, 1.0, 4.0, 3.0], [4.0, 4.0, 8.0, 6.0]]), reduction="none")
    Array([1.1388888, 1.75     ], dtype=float32)

    References:
        Rezatofighi, Tsoi, Gwak, Sadeghian, Reid and Savarese, Generalized Intersection over Union, 2019.
        https://arxiv.org/abs/1902.09630
    """
    pair = _compare(predictions, targets)
    return 1 - pair.iou + pair.empty_share


@loss("(4),(4)->()", "box box")
def diou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` plus the distance of the centres, relative to the hull: moves disjoint boxes straight onto each other.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2}

    with :math:`\rho` the distance of the centres and :math:`c` the diagonal of the smallest box around both. Between 0 and 2.
    For concentric boxes it is `iou`; `ciou` compares their shapes, too.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.

    >>> diou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([[1.0, 1.0, 4.0, 3.0], [4.0, 4.0, 8.0, 6.0]]), reduction="none")
    Array([1.0188889, 1.41     ], dtype=float32)

    References:
        Zheng, Wang, Liu, Li, Ye and Ren, Distance-IoU Loss, 2020. https://arxiv.org/abs/1911.08287
    """
    pair = _compare(predictions, targets)
    return 1 - pair.iou + pair.distance


@loss("(4),(4)->()", "box box")
def ciou(predictions: Array, targets: Array, *, gated: bool = False, **reduce: Unpack[Reduce]) -> Array:
    r"""`diou` plus the difference of the aspect ratios: overlap, centre and shape, the usual choice for training detectors.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \alpha v, \qquad
        v = \frac{4}{\pi^2} \left(\arctan\frac{w_t}{h_t} - \arctan\frac{w_p}{h_p}\right)^2, \qquad
        \alpha = \frac{v}{1 - \mathrm{IoU} + v}

    :math:`\alpha` is a constant for the gradient, as in the paper's code and in torchvision; letting the gradient through it
    changes no value, but some signs of the gradient. The difference of the two angles is computed as one angle, between the
    diagonals, so a side of length 0 is no obstacle (torchvision's gradient is NaN there) and exchanged corners are opposed.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        gated: Compare shapes only where the IoU exceeds one half, as the authors' later code does.

    >>> ciou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([[1.0, 1.0, 4.0, 3.0], [4.0, 4.0, 8.0, 6.0]]), reduction="none")
    Array([1.0191646, 1.4116895], dtype=float32)

    References:
        Zheng, Wang, Ren, Liu, Ye, Hu and Zuo, Enhancing Geometric Factors in Model Learning and Inference for Object
        Detection and Instance Segmentation, 2022. https://arxiv.org/abs/2005.03572
    """
    pair = _compare(predictions, targets)
    weight = _aspect_weight(pair)
    if gated:
        weight = jnp.where(pair.iou > 0.5, weight, 0)
    return 1 - pair.iou + pair.distance + weight * pair.aspect


def pairwise_iou(first: Array, second: Array) -> Array:
    """The IoU (not the loss) of every box of one set with every box of another: for matching and for metrics.

    Args:
        first: Corners ``(..., n, 4)``.
        second: Corners ``(..., m, 4)``; the leading axes are equal.

    Returns:
        ``(..., n, m)``, in float32 or wider.

    >>> pairwise_iou(jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 1.0], [1.0, 1.0, 4.0, 3.0]]))
    Array([[0.5       , 0.11111111]], dtype=float32)
    """
    first, second = _boxes("pairwise_iou", "first", first), _boxes("pairwise_iou", "second", second)
    if first.ndim < 2 or first.shape[:-2] != second.shape[:-2]:
        raise ValueError(f"pairwise_iou: expected first(..., n, 4), second(..., m, 4), got first{first.shape}, second{second.shape}.")
    dtype = jnp.promote_types(first.dtype, second.dtype)
    return _compare(first.astype(dtype)[..., :, None, :], second.astype(dtype)[..., None, :, :]).iou


def from_center_size(boxes: Array) -> Array:
    """Corners ``(x0, y0, x1, y1)`` of boxes given as centre and size ``(cx, cy, w, h)``; in float32 or wider.

    Args:
        boxes: Centres and sizes ``(..., 4)``, of any dtype. Decode here, not in half precision: bf16 has 8 bits for a corner.

    >>> from_center_size(jnp.array([2.0, 3.0, 2.0, 4.0]))
    Array([1., 1., 3., 5.], dtype=float32)
    """
    boxes = _boxes("from_center_size", "boxes", boxes)
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return jnp.concatenate([center - half, center + half], axis=-1)


def to_center_size(boxes: Array) -> Array:
    """Centres and sizes ``(cx, cy, w, h)`` of boxes given by their corners; in float32 or wider.

    Args:
        boxes: Corners ``(..., 4)``, of any dtype.

    >>> to_center_size(jnp.array([1.0, 1.0, 3.0, 5.0]))
    Array([2., 3., 2., 4.], dtype=float32)
    """
    boxes = _boxes("to_center_size", "boxes", boxes)
    low, high = boxes[..., :2], boxes[..., 2:]
    return jnp.concatenate([(low + high) / 2, high - low], axis=-1)


class _Pair(NamedTuple):
    """What the losses ask about two boxes; what a loss does not use is not computed under jit."""

    sides: tuple[Array, Array]  # width and height of the prediction, negative where corners are exchanged
    target_sides: tuple[Array, Array]
    offset: tuple[Array, Array]  # from the target's centre to the prediction's
    hull: tuple[Array, Array]  # width and height of the smallest box around all corners
    overlap: Array
    union: Array

    @property
    def iou(self) -> Array:
        return safe_divide(self.overlap, self.union)

    @property
    def empty_share(self) -> Array:
        """The share of the hull that neither box fills."""
        area = self.hull[0] * self.hull[1]
        return safe_divide(area - self.union, area)

    @property
    def diagonal(self) -> Array:
        """Of the hull, squared."""
        return jnp.square(self.hull[0]) + jnp.square(self.hull[1])

    @property
    def distance(self) -> Array:
        """Of the centres, relative to the diagonal of the hull, both squared."""
        return safe_divide(jnp.square(self.offset[0]) + jnp.square(self.offset[1]), self.diagonal)

    @property
    def aspect(self) -> Array:
        """The angle between the diagonals of the two boxes over a right angle, squared; 0 for a box that is a point."""
        (width, height), (target_width, target_height) = self.sides, self.target_sides
        sine, cosine = width * target_height - target_width * height, width * target_width + height * target_height
        angle = jnp.arctan2(sine, jnp.where((sine == 0) & (cosine == 0), 1, cosine))
        return jnp.square(angle * (2 / math.pi))


def _compare(first: Array, second: Array) -> _Pair:
    """Measures two boxes, or two arrays of boxes of equal rank."""
    x0, y0, x1, y1 = _columns(first)
    a0, b0, a1, b1 = _columns(second)
    (width, overlap_x, hull_x), (height, overlap_y, hull_y) = _side(x0, x1, a0, a1), _side(y0, y1, b0, b1)
    overlap = overlap_x * overlap_y
    union = positive_part(width) * positive_part(height) + positive_part(a1 - a0) * positive_part(b1 - b0) - overlap
    offset = (x0 + x1 - a0 - a1) / 2, (y0 + y1 - b0 - b1) / 2
    return _Pair((width, height), (a1 - a0, b1 - b0), offset, (hull_x, hull_y), overlap, union)


def _side(low: Array, high: Array, target_low: Array, target_high: Array) -> tuple[Array, Array, Array]:
    """Along one axis: the length of the prediction, of the overlap and of the hull (of all four corners, in whatever order)."""
    overlap = positive_part(jnp.minimum(high, target_high) - jnp.maximum(low, target_low))
    top = jnp.maximum(jnp.maximum(low, high), jnp.maximum(target_low, target_high))
    bottom = jnp.minimum(jnp.minimum(low, high), jnp.minimum(target_low, target_high))
    return high - low, overlap, top - bottom


def _aspect_weight(pair: _Pair) -> Array:
    """The weight of `aspect` in `ciou`, a constant for the gradient."""
    return lax.stop_gradient(safe_divide(pair.aspect, 1 - pair.iou + pair.aspect))


def _columns(boxes: Array) -> tuple[Array, Array, Array, Array]:
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def _boxes(function: str, name: str, value: Array) -> Array:
    """`value` in float32 or wider, after a check of its last axis."""
    array = jnp.asarray(value)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(f"{function}: `{name}` must have 4 numbers along its last axis, got {array.dtype}{list(array.shape)}.")
    return array.astype(widest([array]))
