"""Losses of rotated boxes ``(cx, cy, w, h, radians)``, compared as Gaussian distributions.

A box stands for a Gaussian with its centre as mean and ``R diag(w^2, h^2) R^T`` over 4 (over 12 in `probiou`) as covariance; so
a turn by half a circle, or by a right angle with the sides exchanged, changes nothing, and the angle of a square is invisible. All
forms are closed and written as sums of squares in the sides ``w, h, v, k`` of the two boxes and the cosine and sine of the
angle between them: no eigenvalue, no square root of a matrix, no epsilon; what is 0 at a match is a product of differences.
Negative sides count as 0. The corners of an axis-aligned box are for `boxes`.
"""

from typing import NamedTuple, Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._geometry import columns, squared_length
from jloss._loss import Reduce, loss
from jloss._math import positive_part, safe_divide, safe_sqrt

_MOST = 1e30  # stands for the infinite ratio of a box without area


@loss("(5),(5)->()", "rotated_box rotated_box", tau="positive")
def gwd(predictions: Array, targets: Array, *, tau: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Wasserstein distance of the Gaussians, compressed by a logarithm: the first smooth loss of rotated boxes.

    .. math::
        \ell = 1 - \frac{1}{\tau + \ln(1 + \sqrt{d^2})}, \qquad
        d^2 = |\mu_p - \mu_t|^2 + \operatorname{tr}\left(\Sigma_p + \Sigma_t - 2 (\Sigma_p^{1/2} \Sigma_t \Sigma_p^{1/2})^{1/2}\right)

    Not scale invariant: it measures in the unit of the boxes; `rotated_kld` does not. Disjoint boxes are moved onto each other
    from any distance. At a match it has a kink, as a distance has; its gradient there is 0. Boxes without area are
    compared like any other. (mmrotate clamps a determinant at 1e-7, which kills the gradient of small boxes.)

    Args:
        predictions: Centre, sides and angle of the predicted box.
        targets: Centre, sides and angle of the true box.
        tau: The value at a match is ``1 - 1 / tau``.

    >>> gwd(jnp.array([3.0, 4.0, 2.0, 2.0, 0.3]), jnp.array([0.0, 0.0, 2.0, 2.0, 0.0]))
    Array(0.64180297, dtype=float32)

    References:
        Yang, Yan, Ming, Wang, Zhang and Tian, Rethinking Rotated Object Detection with Gaussian Wasserstein Distance Loss, 2021.
        https://arxiv.org/abs/2101.11952
    """
    p, t = columns(predictions), columns(targets)
    (w, h), (v, k) = _sides(p), _sides(t)
    trace = squared_length((w, h)) + squared_length((v, k))  # four times the sum of both traces
    cosine, sine = _turn(p[4] - t[4])
    mixed = cosine * (jnp.square(w * v) + jnp.square(h * k)) + sine * (jnp.square(w * k) + jnp.square(h * v))  # 16 tr(S T)
    mean = safe_sqrt(mixed + 2 * w * h * v * k)  # 4 tr((S^1/2 T S^1/2)^1/2)
    target_stretch = (v - k) * (v + k)  # 8 times the traceless part of T is this by (cos 2a, sin 2a)
    change = (w - v) * (w + v) - (h - k) * (h + k)
    both, angle, turned = p[4] + t[4], 2 * p[4], 2 * jnp.sin(p[4] - t[4])
    across = change * jnp.cos(angle) - target_stretch * turned * jnp.sin(both)
    aslant = change * jnp.sin(angle) + target_stretch * turned * jnp.cos(both)
    unlike = squared_length((across, aslant)) + 4 * jnp.square(h * (w - v) + v * (h - k))
    apart = squared_length((p[0] - t[0], p[1] - t[1]))
    distance = safe_sqrt(apart + safe_divide(unlike, 4 * (trace + 2 * mean)))  # trace - 2 mean, times its conjugate over it
    return 1 - 1 / (tau + jnp.log1p(distance))


@loss("(5),(5)->()", "rotated_box rotated_box", tau="positive")
def rotated_kld(predictions: Array, targets: Array, *, tau: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Kullback-Leibler divergence of the Gaussians: scale invariant, and exacting across a slim box.

    .. math::
        \ell = 1 - \frac{1}{\tau + \ln(1 + \mathrm{KL}(\mathcal N_p \,\|\, \mathcal N_t))}

    An error of the centre counts relative to the side of the true box that it runs along. Disjoint boxes are moved onto each
    other from any distance. Where a box has no area the divergence is infinite: here the ratio of the areas is floored at
    1e-30 (the centre still learns), and a true box without area gives the constant of KL = 1e30.

    Args:
        predictions: Centre, sides and angle of the predicted box.
        targets: Centre, sides and angle of the true box.
        tau: The value at a match is ``1 - 1 / tau``.

    >>> rotated_kld(jnp.array([1.0, 0.0, 4.0, 2.0, 0.0]), jnp.array([0.0, 0.0, 4.0, 2.0, 0.0]))
    Array(0.10537201, dtype=float32)

    References:
        Yang, Yang, Yang, Ming, Wang, Tian and Yan, Learning High-Precision Bounding Box for Rotated Object Detection via
        Kullback-Leibler Divergence, 2021. https://arxiv.org/abs/2106.01883
    """
    p, t = columns(predictions), columns(targets)
    (w, h), (v, k) = _sides(p), _sides(t)
    flat = (v <= 0) | (k <= 0)
    per_v, per_k = 1 / jnp.where(flat, 1, v), 1 / jnp.where(flat, 1, k)
    x, y = _along(p[0] - t[0], p[1] - t[1], t[4])
    cosine, sine = _turn(p[4] - t[4])
    shape = cosine * jnp.square(w * per_v - h * per_k) + sine * jnp.square(w * per_k - h * per_v)
    growth = w * per_v * (h * per_k)
    growth = jnp.where(growth < 1 / _MOST, 1 / _MOST, growth)
    divergence = shape / 2 + (growth - 1 - jnp.log(growth)) + 2 * squared_length((x * per_v, y * per_k))
    return 1 - 1 / (tau + jnp.log1p(jnp.where(flat, _MOST, divergence)))


@loss("(5),(5)->()", "rotated_box rotated_box")
def kfiou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""The overlap of two Gaussians with one centre, by a Kalman filter: trains like the IoU of rotated boxes, blind to the centre.

    .. math::
        \ell = 1 - \frac{V}{V_p + V_t - V}, \qquad V_p = \sqrt{|\Sigma_p|}, \quad V_t = \sqrt{|\Sigma_t|}, \quad
        V = \sqrt{\left|(\Sigma_p^{-1} + \Sigma_t^{-1})^{-1}\right|}

    Between 2/3, at a match, and 1. The centres do not enter: add a loss of them, as the paper does (smooth l1). A box without
    area gives 1.

    Args:
        predictions: Centre, sides and angle of the predicted box.
        targets: Centre, sides and angle of the true box.

    >>> kfiou(jnp.array([0.0, 0.0, 4.0, 2.0, 0.5]), jnp.array([[9.0, 9.0, 4.0, 2.0, 0.5], [0.0, 0.0, 2.0, 2.0, 0.0]]), reduction="none")
    Array([0.6666666, 0.7328644], dtype=float32)

    References:
        Yang, Zhou, Zhang, Yang, Wang, Yan, Zhang and Tian, The KFIoU Loss for Rotated Object Detection, 2023.
        https://arxiv.org/abs/2201.12558
    """
    pair = _compare(predictions, targets)
    both = safe_divide(pair.area * pair.target_area, safe_sqrt(pair.sum))
    return 1 - safe_divide(both, pair.area + pair.target_area - both)


@loss("(5),(5)->()", "rotated_box rotated_box")
def probiou(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Hellinger distance of the Gaussians: between 0 and 1 like one minus an IoU, the choice of the YOLO family.

    .. math::
        \ell = \sqrt{1 - e^{-B}}

    with :math:`B` the Bhattacharyya distance. At a match it has a kink, as a distance has; its gradient there is 0. Boxes that
    are several sizes apart give 1 with no gradient to speak of: begin with `bhattacharyya`, as the paper does.

    Args:
        predictions: Centre, sides and angle of the predicted box.
        targets: Centre, sides and angle of the true box.

    >>> probiou(jnp.array([1.0, 0.0, 4.0, 2.0, 0.0]), jnp.array([0.0, 0.0, 4.0, 2.0, 0.0]))
    Array(0.29914817, dtype=float32)

    References:
        Llerena, Zeni, Kristen and Jung, Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for Object Detection,
        2021. https://arxiv.org/abs/2106.06072
    """
    return safe_sqrt(-jnp.expm1(-_bhattacharyya(predictions, targets)))


@loss("(5),(5)->()", "rotated_box rotated_box")
def bhattacharyya(predictions: Array, targets: Array, **reduce: Unpack[Reduce]) -> Array:
    r"""Bhattacharyya distance of the Gaussians: pulls from any distance, the squared centres over the sizes of both boxes.

    .. math::
        B = \tfrac18 (\mu_p - \mu_t)^T \Sigma^{-1} (\mu_p - \mu_t) + \tfrac12 \ln \frac{|\Sigma|}{\sqrt{|\Sigma_p| |\Sigma_t|}},
        \qquad \Sigma = \frac{\Sigma_p + \Sigma_t}{2}

    Scale invariant; not bounded. The second term is infinite where a box has no area; here its ratio is capped at 1e30, so the
    centre still learns. For a bounded measure of the same thing see `probiou`.

    Args:
        predictions: Centre, sides and angle of the predicted box.
        targets: Centre, sides and angle of the true box.

    >>> bhattacharyya(jnp.array([4.0, 0.0, 4.0, 2.0, 0.0]), jnp.array([0.0, 0.0, 4.0, 2.0, 0.0]))
    Array(1.5, dtype=float32)

    References:
        Llerena, Zeni, Kristen and Jung, Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for Object Detection,
        2021. https://arxiv.org/abs/2106.06072
    """
    return _bhattacharyya(predictions, targets)


class _Pair(NamedTuple):
    """Two boxes in units of their longest side, which changes nothing in a scale invariant loss and keeps high powers in range."""

    area: Array
    target_area: Array
    excess: Array  # 16 |S + T| - 4 area target_area, the covariances over 4; 0 if the boxes have one shape
    apart: Array  # the squared distance of the centres in the metric of the adjoint of S + T, times 4

    @property
    def sum(self) -> Array:
        """16 |S + T|."""
        return 4 * self.area * self.target_area + self.excess


def _compare(first_box: Array, second_box: Array) -> _Pair:
    first, second = columns(first_box), columns(second_box)
    (w, h), (v, k) = _sides(first), _sides(second)
    scale = lax.stop_gradient(jnp.maximum(jnp.maximum(w, h), jnp.maximum(v, k)))
    scale = jnp.where(scale > 0, scale, 1)
    w, h, v, k = w / scale, h / scale, v / scale, k / scale
    dx, dy = (first[0] - second[0]) / scale, (first[1] - second[1]) / scale
    cosine, sine = _turn(first[4] - second[4])
    wider, higher = w - v, h - k
    grown, slimmer = h * wider + v * higher, h * wider - w * higher  # w h - v k and h v - w k, exactly 0 at a match
    excess = jnp.square(grown) + cosine * jnp.square(slimmer) + sine * jnp.square(w * v - h * k)
    (x, y), (a, b) = _along(dx, dy, first[4]), _along(dx, dy, second[4])
    apart = squared_length((h * x, w * y)) + squared_length((k * a, v * b))
    return _Pair(w * h, v * k, excess, apart)


def _bhattacharyya(first: Array, second: Array) -> Array:
    pair = _compare(first, second)
    ratio = safe_divide(pair.excess, 4 * pair.area * pair.target_area, _MOST)
    shape = jnp.log1p(jnp.where(ratio > _MOST, _MOST, ratio)) / 2
    return 3 * safe_divide(pair.apart, pair.sum) + shape  # 1/8 over (S + T) / 2, covariances over 12


def _sides(box: list[Array]) -> tuple[Array, Array]:
    return positive_part(box[2]), positive_part(box[3])


def _along(dx: Array, dy: Array, angle: Array) -> tuple[Array, Array]:
    """A vector in the frame of a box."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return cosine * dx + sine * dy, cosine * dy - sine * dx


def _turn(angle: Array) -> tuple[Array, Array]:
    """Cosine and sine, squared."""
    return jnp.square(jnp.cos(angle)), jnp.square(jnp.sin(angle))
