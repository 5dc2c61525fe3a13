"""Losses of rotated boxes ``(cx, cy, w, h, radians)``, compared as Gaussian distributions.

A box stands for a Gaussian with its centre as mean and ``R diag(w^2, h^2) R^T`` over 4 (over 12 in `probiou`) as covariance; so
a turn by half a circle, or by a right angle with the sides exchanged, changes nothing, and the angle of a square is invisible. All
forms are closed and written as sums of squares in the sides ``w, h, v, k`` of the two boxes and the cosine and sine of the
angle between them: no eigenvalue, no square root of a matrix, no epsilon; what is 0 at a match is a product of differences.
Negative sides count as 0. The corners of an axis-aligned box are for `boxes`.
"""

import functools
import math
from typing import NamedTuple, Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import positive_part, quotient, safe_divide, safe_sqrt
from jloss.numerics._special import expm1
from jloss.vision._geometry import columns, squared_length

_MOST = 1e30  # stands for the infinite ratio of a box without area
_SLIM = 1e-9  # a side that is shorter than this share of the longest counts as none, where boxes are compared in units of that


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
    sizes = 4 * (trace + 2 * mean)
    points = sizes < _least(sizes)
    shape = jnp.where(points, 0.0, quotient(unlike, jnp.where(points, 1.0, sizes)))  # trace - 2 mean, times its conjugate over it
    distance = safe_sqrt(apart + shape)
    return 1 - 1 / (tau + jnp.log1p(distance))


@loss("(5),(5)->()", "rotated_box rotated_box", tau="positive")
def rotated_kld(predictions: Array, targets: Array, *, tau: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Kullback-Leibler divergence of the Gaussians: scale invariant, and exacting across a slim box.

    .. math::
        \ell = 1 - \frac{1}{\tau + \ln(1 + \mathrm{KL}(\mathcal N_p \,\|\, \mathcal N_t))}

    An error of the centre counts relative to the side of the true box that it runs along. Disjoint boxes are moved onto each
    other from any distance. Where a box has no area the divergence is infinite: here the ratio of the areas is floored at
    1e-30 (the centre still learns), and a true box without area gives the constant of KL = 1e30, as does whatever exceeds it.

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
    x, y = _along(p[0] - t[0], p[1] - t[1], t[4])
    longest = lax.stop_gradient(_longest(w, h, v, k, jnp.abs(x), jnp.abs(y)))
    flat = jnp.minimum(v, k) <= jnp.maximum(longest / _MOST, _least(longest))
    v, k = jnp.where(flat, 1.0, v), jnp.where(flat, 1.0, k)
    cosine, sine = jnp.cos(p[4] - t[4]), jnp.sin(p[4] - t[4])
    growth = quotient(w, v) * quotient(h, k)
    parts = [cosine * (quotient(w, v) - quotient(h, k)), sine * (quotient(w, k) - quotient(h, v)), 2 * quotient(x, v), 2 * quotient(y, k)]
    infinite = flat | (_longest(*map(jnp.abs, parts)) > _MOST**0.5) | (growth > _MOST)
    growth = jnp.where(infinite, 1.0, jnp.where(growth < 1 / _MOST, 1 / _MOST, growth))
    divergence = (growth - 1 - jnp.log(growth)) + sum(jnp.square(jnp.where(infinite, 0.0, part)) for part in parts) / 2
    return 1 - 1 / (tau + jnp.log1p(jnp.where(infinite, _MOST, divergence)))


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
    return safe_sqrt(-expm1(-_bhattacharyya(predictions, targets)))


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
    reach: Array  # beyond it, in units of the sizes and squared, a distance is given as that: its gradient would leave the range

    @property
    def sum(self) -> Array:
        """16 |S + T|."""
        return 4 * self.area * self.target_area + self.excess


def _compare(first_box: Array, second_box: Array) -> _Pair:
    first, second = columns(first_box), columns(second_box)
    (w, h), (v, k) = _sides(first), _sides(second)
    scale = lax.stop_gradient(_longest(w, h, v, k))
    apart = jnp.abs(first[0] - second[0]) + jnp.abs(first[1] - second[1])
    scale = jnp.where(scale < jnp.maximum(lax.stop_gradient(apart) / _MOST, _least(scale)), 1.0, scale)
    least = jnp.maximum(_SLIM * scale, _least(scale))
    w, h, v, k = (jnp.where(side < least, 0.0, side) / scale for side in (w, h, v, k))
    dx, dy = (first[0] - second[0]) / scale, (first[1] - second[1]) / scale
    cosine, sine = _turn(first[4] - second[4])
    wider, higher = w - v, h - k
    grown, slimmer = h * wider + v * higher, h * wider - w * higher  # w h - v k and h v - w k, exactly 0 at a match
    excess = jnp.square(grown) + cosine * jnp.square(slimmer) + sine * jnp.square(w * v - h * k)
    (x, y), (a, b) = _along(dx, dy, first[4]), _along(dx, dy, second[4])
    apart = squared_length((h * x, w * y)) + squared_length((k * a, v * b))
    shortest = -_longest(*(-jnp.where(side > 0, side, 1.0) for side in (w, h, v, k))) * scale
    reach = jnp.square(jnp.minimum(lax.stop_gradient(shortest) / _least(scale), 1e7))
    return _Pair(w * h, v * k, excess, apart, reach)


def _bhattacharyya(first: Array, second: Array) -> Array:
    pair = _compare(first, second)
    areas = 4 * pair.area * pair.target_area
    flat = areas <= 0
    shape = jnp.where(flat, math.log(_MOST), jnp.log1p(quotient(pair.excess, jnp.where(flat, 1.0, areas)))) / 2
    far = (pair.sum < _SLIM**4) | (pair.apart > pair.sum * pair.reach)
    apart = jnp.where(far, jnp.where(pair.sum > 0, pair.reach, 0.0), quotient(pair.apart, jnp.where(far, 1.0, pair.sum)))
    return 3 * apart + shape  # 1/8 over (S + T) / 2, covariances over 12


def _longest(*sides: Array) -> Array:
    return functools.reduce(jnp.maximum, sides)


def _least(side: Array) -> float:
    """A length of which one over it is still in range, with its multiples; what is shorter counts as none."""
    return 64 * float(jnp.finfo(side.dtype).tiny)


def _sides(box: list[Array]) -> tuple[Array, Array]:
    return positive_part(box[2]), positive_part(box[3])


def _along(dx: Array, dy: Array, angle: Array) -> tuple[Array, Array]:
    """A vector in the frame of a box."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return cosine * dx + sine * dy, cosine * dy - sine * dx


def _turn(angle: Array) -> tuple[Array, Array]:
    """Cosine and sine, squared."""
    return jnp.square(jnp.cos(angle)), jnp.square(jnp.sin(angle))
