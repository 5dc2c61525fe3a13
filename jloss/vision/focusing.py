"""Losses of axis-aligned boxes that choose which boxes the gradient comes from: those that fit already, or those that do not.

Each multiplies or bends a loss of `boxes` by a function of the pair's own overlap. The corners and degenerate boxes are as there.
`wiou_v2` and `wiou_v3` compare a box with the running mean of all boxes, so they carry a state.
"""

from typing import Literal, Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.loss import loss
from jloss._core.signature import Reduce, Reduction
from jloss._core.stateful import StatefulLoss, listed_as
from jloss.numerics import safe_divide
from jloss.vision._geometry import compare, power, share, squared_length
from jloss.vision.boxes import eiou, iou

Base = Literal["iou", "giou", "diou", "ciou"]
_MOMENTUM = 1 - 0.5 ** (1 / 7000)  # the mean forgets half within 7000 batches


@loss("(4),(4)->()", "box box", gamma="nonnegative")
def focal_eiou(predictions: Array, targets: Array, *, gamma: float = 0.5, **reduce: Unpack[Reduce]) -> Array:
    r"""`eiou` times a power of the overlap: boxes that fit badly count less, so that they do not rule the gradient.

    .. math::
        \ell = \mathrm{IoU}^\gamma \, \ell_\text{eiou}

    The factor is a constant for the gradient. Disjoint boxes have loss 0 with gradient 0 (unless gamma is 0): it
    cannot be the only box loss.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        gamma: How strongly bad overlaps are suppressed; 0 is `eiou`.

    >>> focal_eiou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([[1.0, 1.0, 4.0, 3.0], [4.0, 4.0, 8.0, 6.0]]), reduction="none")
    Array([0.36046293, 0.        ], dtype=float32)

    References:
        Zhang, Ren, Zhang, Jia, Wang and Tan, Focal and Efficient IOU Loss, 2022. https://arxiv.org/abs/2101.08158
    """
    overlap = compare(predictions, targets).iou
    return lax.stop_gradient(power(overlap, gamma)) * eiou(predictions, targets, reduction="none")


@loss("(4),(4)->()", "box box", alpha="positive")
def alpha_iou(predictions: Array, targets: Array, *, alpha: float = 3.0, base: Base = "iou", **reduce: Unpack[Reduce]) -> Array:
    r"""The terms of `iou`, `giou`, `diou` or `ciou`, each raised to a power: above 1, good boxes get the larger gradients.

    .. math::
        \ell = 1 - \mathrm{IoU}^\alpha + P^\alpha + (\beta v)^\alpha

    with :math:`P` the penalty of `giou` or `diou`, and :math:`\beta v` that of `ciou`, whose :math:`\beta` is a constant for the
    gradient; more than 1, which exchanged corners reach, counts as 1. With ``alpha=3`` the gradient is nearly dead below an IoU of
    0.3; disjoint boxes attract each other through :math:`P` only. A term that is 0 has gradient 0, also for `alpha` below 1. The
    paper's choice is 3, its code's default 2.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.
        alpha: The power; positive, 1 is the base itself.
        base: Whose terms.

    >>> alpha_iou(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([0.0, 0.0, 2.0, 1.0]))
    Array(0.875, dtype=float32)

    References:
        He, Erfani, Ma, Bailey, Chi and Hua, Alpha-IoU: A Family of Power Intersection over Union Losses, 2021.
        https://arxiv.org/abs/2110.13675
    """
    pair = compare(predictions, targets)
    value = 1 - power(pair.iou, alpha)
    if base == "giou":
        value += power(pair.empty_share, alpha)
    if base in ("diou", "ciou"):
        value += power(pair.distance, alpha)
    if base == "ciou":
        value += power(jnp.minimum(pair.aspect_weight * pair.aspect, 1), alpha)
    return value


@loss("(4),(4)->()", "box box")
def wiou_v1(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""`iou` amplified by the distance of the centres: gentle where boxes overlap well, whatever their shapes.

    .. math::
        \ell = \exp\left(\frac{\rho^2}{c^2}\right) (1 - \mathrm{IoU})

    with the diagonal :math:`c` of the enclosing box a constant for the gradient, so that no box gains by making it larger. The
    factor is between 1 and e. Disjoint boxes are moved straight onto each other.

    Args:
        predictions: Corners of the predicted box.
        targets: Corners of the true box.

    >>> wiou_v1(jnp.array([0.0, 0.0, 2.0, 2.0]), jnp.array([[1.0, 1.0, 4.0, 3.0], [4.0, 4.0, 8.0, 6.0]]), reduction="none")
    Array([1.0122919, 1.5068178], dtype=float32)

    References:
        Tong, Chen, Xu and Yu, Wise-IoU: Bounding Box Regression Loss with Dynamic Focusing Mechanism, 2023.
        https://arxiv.org/abs/2301.10051
    """
    pair = compare(predictions, targets)
    return jnp.exp(share(squared_length(pair.offset), lax.stop_gradient(pair.diagonal))) * (1 - pair.iou)


@listed_as("stateful", "(4),(4)->()", "box box", gamma="nonnegative", momentum="unit")
def wiou_v2(*, gamma: float = 0.5, momentum: float = _MOMENTUM) -> StatefulLoss:
    r"""`wiou_v1` times a power of how bad a box is among all: monotonic focusing on the boxes that fit badly.

    .. math::
        \ell = \left(\frac{1 - \mathrm{IoU}}{\text{state}}\right)^\gamma \ell_\text{wiou\_v1}, \qquad
        \text{state} \leftarrow (1 - m)\, \text{state} + m\, \text{mean}(1 - \mathrm{IoU})

    A factory: ``init(mean=1.0)`` gives the state, ``apply(state, predictions, targets, ...)`` the loss and the next state. The
    factor is a constant for the gradient and uses the mean of the batches before, so that the batch may be split. The mean
    runs over kept examples and over the devices of `axis_name`; nothing kept, or a NaN, leaves it as it is.

    Args:
        gamma: How strongly bad boxes are preferred.
        momentum: The share :math:`m` of a batch in the mean; the paper takes it from the number of batches.

    >>> focused = wiou_v2()
    >>> value, state = focused.apply(focused.init(), jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 1.0]]))
    >>> value
    Array(0.36477637, dtype=float32)

    References:
        Tong, Chen, Xu and Yu, Wise-IoU: Bounding Box Regression Loss with Dynamic Focusing Mechanism, 2023.
        https://arxiv.org/abs/2301.10051
    """

    def apply(state: Array, predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> tuple[Array, Array]:
        value = _monotonic_wiou(predictions, targets, state, gamma=gamma, **reduce)
        return value, _running_mean(state, momentum, predictions, targets, **reduce)

    return StatefulLoss(_initial_mean, apply)


@listed_as("stateful", "(4),(4)->()", "box box", alpha="one_or_more", delta="positive", momentum="unit")
def wiou_v3(*, alpha: float = 1.9, delta: float = 3.0, momentum: float = _MOMENTUM) -> StatefulLoss:
    r"""`wiou_v1` with the largest gradient for ordinary boxes: neither the good ones nor the hopeless (often mislabelled) ones.

    .. math::
        \ell = \frac{\beta}{\delta\, \alpha^{\beta - \delta}}\, \ell_\text{wiou\_v1}, \qquad \beta = \frac{1 - \mathrm{IoU}}{\text{state}}

    The factor is 1 where :math:`\beta = \delta` and largest at :math:`\beta = 1 / \ln \alpha`. The state, the mean of
    ``1 - IoU``, is that of `wiou_v2`.

    Args:
        alpha: How fast the factor falls for bad boxes; greater than 1.
        delta: Where the factor is 1; positive.
        momentum: The share of a batch in the mean; the paper takes it from the number of batches.

    >>> focused = wiou_v3()
    >>> value, state = focused.apply(focused.init(), jnp.array([[0.0, 0.0, 2.0, 2.0]]), jnp.array([[0.0, 0.0, 2.0, 1.0]]))
    >>> value
    Array(0.42783314, dtype=float32)

    References:
        Tong, Chen, Xu and Yu, Wise-IoU: Bounding Box Regression Loss with Dynamic Focusing Mechanism, 2023.
        https://arxiv.org/abs/2301.10051
    """

    def apply(state: Array, predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> tuple[Array, Array]:
        value = _focused_wiou(predictions, targets, state, alpha=alpha, delta=delta, **reduce)
        return value, _running_mean(state, momentum, predictions, targets, **reduce)

    return StatefulLoss(_initial_mean, apply)


@loss("(4),(4),()->()", "box box positive")
def _monotonic_wiou(predictions: Array, targets: Array, mean: Array, *, gamma: float = 0.5, **reduce: Unpack[Reduce]) -> Array:
    factor = power(_outlierness(predictions, targets, mean), gamma)
    return lax.stop_gradient(factor) * wiou_v1(predictions, targets, reduction="none")


@loss("(4),(4),()->()", "box box positive")
def _focused_wiou(
    predictions: Array, targets: Array, mean: Array, *, alpha: float = 1.9, delta: float = 3.0, **reduce: Unpack[Reduce]
) -> Array:
    beta = _outlierness(predictions, targets, mean)
    factor = beta / delta * jnp.exp((delta - beta) * jnp.log(alpha))
    return lax.stop_gradient(factor) * wiou_v1(predictions, targets, reduction="none")


def _outlierness(predictions: Array, targets: Array, mean: Array) -> Array:
    return safe_divide(1 - compare(predictions, targets).iou, mean)


def _initial_mean(mean: float = 1.0) -> Array:
    """The state before the first batch."""
    return jnp.asarray(mean, jnp.float32)


def _running_mean(
    state: Array,
    momentum: float,
    predictions: Array,
    targets: Array,
    where: Array | None = None,
    weights: Array | None = None,
    reduction: Reduction = "mean",
    axis_name: str | tuple[str, ...] | None = None,
) -> Array:
    """The next state: a constant for the gradient, the same on all devices of `axis_name`."""
    predictions, targets = lax.stop_gradient((predictions, targets))
    total, mass = iou(predictions, targets, where=where, weights=weights, reduction="parts", axis_name=axis_name)
    share = jnp.asarray(momentum, state.dtype)
    moved = (1 - share) * state + share * safe_divide(total, mass).astype(state.dtype)
    return lax.stop_gradient(jnp.where((mass > 0) & jnp.isfinite(moved), moved, state))
