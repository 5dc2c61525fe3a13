"""Losses of axis-aligned boxes (predictions, targets), each with the corners ``(x0, y0, x1, y1)`` of one box.

The plain IoU and what was added to it, for boxes that do not meet (`giou`, `diou`, `mpdiou`, `nwd`) and for the shape
(`ciou`, `eiou`, `siou`, `shape_iou`, `inner_iou`). Losses that weigh boxes by how good they are already are in `focusing`, rotated
boxes in `rotated`. All stand on `_geometry.compare`: there it says what an empty, an inverted and a tiny box are.

On identical boxes of any area every gradient is 0: `jnp.maximum` splits the gradient of a tie evenly, and the halves cancel.

In float32 values and gradients are right for sides from 3e-9 to 1e8, second derivatives for sides from 1e-6 (`ciou`: 1e-5) to 1e5: those of
smaller boxes are NaN, those of larger ones lose their digits. Give boxes in pixels or as shares of the image.
"""

from typing import Unpack

import jax.numpy as jnp
from jax import Array, nn

from jloss._core.backend import fused, hint
from jloss._core.domains import arithmetic_dtype
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import absolute, safe_log, safe_sqrt
from jloss.numerics._special import expm1
from jloss.vision._geometry import columns, compare, power, share, squared_length


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
    return 1 - compare(predictions, targets).iou


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
    overlap = compare(predictions, targets).iou
    return -safe_log(jnp.where(overlap < epsilon, epsilon, overlap))


@loss("(4),(4)->()", "box box")
@hint(blocks=1)
def giou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` plus the empty share of the enclosing box: disjoint boxes still get a gradient that moves them together.

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
    pair = compare(predictions, targets)
    return 1 - pair.iou + pair.empty_share


@loss("(4),(4)->()", "box box")
@hint(blocks=1)
def diou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` plus the distance of the centres, relative to the enclosing box: moves disjoint boxes straight onto each other.

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
    pair = compare(predictions, targets)
    return 1 - pair.iou + pair.distance


@loss("(4),(4)->()", "box box")
@hint(blocks=1)
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
    pair = compare(predictions, targets)
    weight = jnp.where(pair.iou > 0.5, pair.aspect_weight, 0.0) if gated else pair.aspect_weight
    return 1 - pair.iou + pair.distance + weight * pair.aspect


@loss("(4),(4)->()", "box box")
@hint(blocks=1)
def eiou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`diou` plus the differences of widths and of heights, each on its own, where `ciou` compares only their ratio.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \frac{(w_p - w_t)^2}{C_w^2} + \frac{(h_p - h_t)^2}{C_h^2}

    with :math:`C_w, C_h` the sides of the box that encloses both. Not bounded by 2. All terms are relative to that box, so
    far apart boxes of different size also push apart: a larger one makes the differences smaller. This is the efficient IoU
    of Zhang; mmdetection's loss of the same name is another (the extended IoU of Peng and Yu).

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.

    >>> eiou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([[1.0, 1.0, 4.0, 3.0], [4.0, 4.0, 8.0, 6.0]]), reduction="none")
    Array([1.081389, 1.4725  ], dtype=float32)

    References:
        Zhang, Ren, Zhang, Jia, Wang and Tan, Focal and Efficient IOU Loss, 2022. https://arxiv.org/abs/2101.08158
    """
    pair = compare(predictions, targets)
    (width, height), (target_width, target_height) = pair.sides, pair.target_sides
    wider, higher = share(width - target_width, pair.enclosing[0]), share(height - target_height, pair.enclosing[1])
    return fused(1 - pair.iou + pair.distance + squared_length((wider, higher)))


@loss("(4),(4)->()", "box box", theta="positive")
@hint(blocks=2)
def siou(predictions: Array, targets: Array, *, theta: float = 4.0, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` plus a distance that is shorter along the axes, plus a soft difference of the sides.

    .. math::
        \ell = 1 - \mathrm{IoU} + \tfrac12 \sum_{t \in \{x, y\}} \left(1 - e^{-(2 - \Lambda) \rho_t}\right)
               + \tfrac12 \sum_{s \in \{w, h\}} \left(1 - e^{-\omega_s}\right)^\theta

    with :math:`\rho_x = (d_x / C_w)^2` from the offset of the centres and the enclosing box, :math:`\Lambda = \sin 2\varphi` of the
    offset's angle, and :math:`\omega_w = |w_p - w_t| / \max(w_p, w_t)`. The angle is taken as
    :math:`2 |d_x| |d_y| / (d_x^2 + d_y^2)`, which has no arcsine whose derivative is infinite along the axes, needs no case for
    more than 45 degrees, and is 0 for concentric boxes. The sign of the exponent is the paper's: mmdetection's default has the
    other, which rewards distance. The gradient of the exponentials fades beyond a few box sizes, so a start far away is slow.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        theta: How little small differences of shape count; the paper tunes it between 2 and 6.

    >>> siou(jnp.array([5.0, 0.0, 15.0, 10.0]), jnp.array([0.0, 0.0, 10.0, 10.0]))
    Array(0.76629794, dtype=float32)

    References:
        Gevorgyan, SIoU Loss: More Powerful Learning for Bounding Box Regression, 2022. https://arxiv.org/abs/2205.12740
    """
    pair = compare(predictions, targets)
    dx, dy = absolute(pair.offset[0]), absolute(pair.offset[1])
    longer = jnp.maximum(dx, dy)
    dx, dy = share(dx, longer), share(dy, longer)  # the squares of a tiny offset underflow
    sine = share(2 * dx * dy, dx * dx + dy * dy)
    distances = (jnp.square(share(offset, side)) for offset, side in zip(pair.offset, pair.enclosing, strict=True))
    far = sum(-jnp.expm1((sine - 2) * distance) for distance in distances)
    unlike = sum(power(-jnp.expm1(-difference), theta) for difference in pair.differences)
    return 1 - pair.iou + (far + unlike) / 2


@loss("(4),(4),(2)->()", "box box positive")
def mpdiou(predictions: Array, targets: Array, image_size: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` plus the distances of the two corners, relative to the image: one unit for all boxes of an image.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{d_1^2 + d_2^2}{H^2 + W^2}

    with :math:`d_1, d_2` the distances of the upper left and of the lower right corners. Disjoint boxes attract each other
    with a force that grows with their distance and does not depend on their size; for small boxes in a large image it is weak.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box, in the same unit as `image_size`.
        image_size: Height and width of the image; one for all, or one per example.

    >>> mpdiou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([4.0, 4.0, 8.0, 6.0]), image_size=(6.0, 8.0))
    Array(1.8399999, dtype=float32)

    References:
        Ma and Xu, MPDIoU: A Loss for Efficient and Accurate Bounding Box Regression, 2023. https://arxiv.org/abs/2307.07662
    """
    overlap = compare(predictions, targets).iou
    left, top, right, bottom = (a - b for a, b in zip(columns(predictions), columns(targets), strict=True))
    apart = squared_length((left, top)) + squared_length((right, bottom))
    return 1 - overlap + share(apart, squared_length((image_size[0], image_size[1])))


@loss("(4),(4)->()", "box box", ratio="positive")
def inner_iou(predictions: Array, targets: Array, *, ratio: float = 0.8, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` of both boxes scaled about their centres: smaller boxes sharpen good overlaps, larger ones reach further.

    .. math::
        \ell = 1 - \mathrm{IoU}(r \cdot \text{predictions}, r \cdot \text{targets})

    Where the scaled boxes are disjoint the value is 1 with gradient 0, even if the boxes themselves overlap: with a ratio
    below 1 add it to a loss that knows distances.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        ratio: Scale of both boxes; the paper uses 0.5 to 1.5, below 1 for boxes that overlap well, above 1 for small objects.

    >>> inner_iou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 0.0, 3.0, 2.0]), ratio=jnp.array(2.0))
    Array(0.39999998, dtype=float32)

    References:
        Zhang, Xu and Zhang, Inner-IoU: More Effective Intersection over Union Loss with Auxiliary Bounding Box, 2023.
        https://arxiv.org/abs/2311.02877
    """
    return 1 - compare(_scaled(predictions, ratio), _scaled(targets, ratio)).iou


@loss("(4),(4)->()", "box box")
@hint(blocks=2)
def shape_iou(predictions: Array, targets: Array, *, scale: float = 0.0, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` with a distance and a difference of sides that count more along the short side of the true box.

    .. math::
        \ell = 1 - \mathrm{IoU} + v_h \frac{d_x^2}{c^2} + v_w \frac{d_y^2}{c^2}
               + \tfrac12 \left(1 - e^{-v_h \omega_w}\right)^4 + \tfrac12 \left(1 - e^{-v_w \omega_h}\right)^4, \qquad
        v_w = \frac{2 w_t^s}{w_t^s + h_t^s}, \quad v_h = 2 - v_w

    with :math:`\omega_w = |w_p - w_t| / \max(w_p, w_t)`. With `scale` 0 both weights are 1. A true box without area has no
    shape: both weights are 1. Disjoint boxes are moved by the distance as in `diou`.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        scale: The exponent :math:`s`, related to the size of the objects in the data; 0 or more.

    >>> shape_iou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 4.0, 3.0]), scale=1.0)
    Array(1.0103898, dtype=float32)

    References:
        Zhang and Zhang, Shape-IoU: More Accurate Metric considering Bounding Box Shape and Scale, 2023.
        https://arxiv.org/abs/2312.17663
    """
    pair = compare(predictions, targets)
    width, height = pair.target_sides
    solid = (width > 0) & (height > 0)
    slimness = jnp.log(jnp.where(solid, width, 1.0)) - jnp.log(jnp.where(solid, height, 1.0))
    along_y = 2 * nn.sigmoid(scale * slimness)  # w^s / (w^s + h^s)
    along_x = 2 * nn.sigmoid(-scale * slimness)
    distance = share(along_x * jnp.square(pair.offset[0]) + along_y * jnp.square(pair.offset[1]), pair.diagonal)
    wider, higher = pair.differences
    unlike = power(-jnp.expm1(-along_x * wider), 4.0) + power(-jnp.expm1(-along_y * higher), 4.0)
    return fused(1 - pair.iou + distance + unlike / 2)


@loss("(4),(4)->()", "box box", constant="positive")
def nwd(predictions: Array, targets: Array, *, constant: float = 12.8, **reduce: Unpack[Reduce]) -> Array:
    r"""Distance of the boxes seen as Gaussians: for tiny objects, whose IoU jumps from nothing to half within a pixel.

    .. math::
        \ell = 1 - \exp\left(-\frac{1}{C} \sqrt{d_x^2 + d_y^2 + \frac{(w_p - w_t)^2 + (h_p - h_t)^2}{4}}\right)

    The normalised Wasserstein distance. Not scale invariant: its gradient has the same length up to a distance of about
    `constant`, however small the boxes, and has faded to nothing at ten times that. At a match it has a kink, like a
    distance; its gradient there is 0.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        constant: The scale :math:`C`, in the unit of the corners; the mean size of the objects (12.8 pixels in AI-TOD).

    >>> nwd(jnp.array([0.0, 0.0, 4.0, 4.0]), jnp.array([6.0, 8.0, 10.0, 12.0]), constant=10.0)
    Array(0.63212055, dtype=float32)

    References:
        Wang, Xu, Yang and Yu, A Normalized Gaussian Wasserstein Distance for Tiny Object Detection, 2021.
        https://arxiv.org/abs/2110.13389
    """
    pair = compare(predictions, targets)
    (width, height), (target_width, target_height) = pair.sides, pair.target_sides
    halves = (width - target_width) / 2, (height - target_height) / 2
    return -expm1(-safe_sqrt(squared_length(pair.offset) + squared_length(halves)) / constant)


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
    return compare(first.astype(dtype)[..., :, None, :], second.astype(dtype)[..., None, :, :]).iou


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


def _scaled(box: Array, ratio: Array | float) -> Array:
    x0, y0, x1, y1 = columns(box)
    x, width, y, height = (x0 + x1) / 2, (x1 - x0) / 2 * ratio, (y0 + y1) / 2, (y1 - y0) / 2 * ratio
    return jnp.stack([x - width, y - height, x + width, y + height])


def _boxes(function: str, name: str, value: Array) -> Array:
    """`value` in float32 or wider, after a check of its last axis."""
    array = jnp.asarray(value)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(f"{function}: `{name}` must have 4 numbers along its last axis, got {array.dtype}{list(array.shape)}.")
    return array.astype(arithmetic_dtype([array]))
