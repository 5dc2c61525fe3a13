"""The mass of a normal distribution in a bin, in the logarithm and to the last digit wherever the bin lies."""

import functools
import math
import operator

import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._core.backend import select
from jloss.numerics import clipped

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


def bounded(log_scales: Array) -> Array:
    """Scales whose inverse does not overflow: the bins of smaller ones are sure, or infinitely far."""
    least = -0.7 * math.log(float(jnp.finfo(log_scales.dtype).max))
    return select(log_scales < least, least, log_scales)


def binned_normal_nll(means: Array, log_scales: Array, targets: Array, half: float) -> Array:
    """Minus the logarithm of the normal mass of a bin, elementwise; of a half-line at both ends of the grid.

    Where the density hardly changes within a bin it is integrated; else the mass is a difference of two tails, of which the larger comes
    out of the logarithm, or what two tails on either side leave. What is infinitely many deviations away costs infinity, or nothing at
    the end of the grid on its side, without a gradient.
    """
    scales = bounded(log_scales)
    inverse, log_width = jnp.exp(-scales), math.log(2 * half) - scales
    infinity = _infinity(scales)
    gaps = clipped(targets - means, -infinity, infinity)  # the product of a true infinity and a derivative of 0 is NaN
    width, deviations = jnp.exp(log_width), jnp.abs(gaps) * inverse
    endless = deviations >= infinity
    centre = select(endless, 0.0, deviations)
    flat = (width <= 1) & (centre * width <= 1)
    slab = _flat_bin(select(flat, centre, 0.0), select(flat, log_width, 0.0))
    c, w = select(flat, 4.0, centre), select(flat, 1.0, width)
    inner, outer = c - w / 2, c + w / 2
    aside = inner >= 0
    a = select(aside, inner, 1.0)
    difference = select(aside, _mills(a) - jnp.exp(-c * w) * _mills(outer), 1.0)
    tails = a * a / 2 + LOG_ROOT_2PI - jnp.log(difference)
    around = -jnp.log1p(-_tail(select(aside, 1.0, -inner)) - _tail(outer))
    low, high = targets < -1 + half, targets > 1 - half
    end = select(low | high, select(low, gaps, -gaps) + half, 0.0) * inverse
    inside = select(endless, jnp.inf, select(flat, slab, select(aside, tails, around)))
    return select(low | high, _half_line(end), inside)


def _infinity(x: Array) -> float:
    """So many deviations, one over which is still a normal number, count as infinitely many."""
    return float(jnp.finfo(x.dtype).max) / 16


# Nodes and weights on -1/2..1/2, by whether numbers have 64 bits: errors of 5e-10 and 1e-15.
RULES = {wide: [x / 2 for x in np.polynomial.legendre.leggauss(n)] for wide, n in ((False, 5), (True, 8))}


def _flat_bin(centre: Array, log_width: Array) -> Array:
    """Minus the logarithm of the mass of a bin over which the density falls by less than e."""
    width = jnp.exp(log_width)
    terms = (
        float(weight) * jnp.exp(-(centre * width) * float(node) - jnp.square(width * float(node)) / 2)
        for node, weight in zip(*RULES[centre.dtype == jnp.float64], strict=True)
    )
    return jnp.square(centre) / 2 + LOG_ROOT_2PI - log_width - jnp.log(functools.reduce(operator.add, terms))


def _half_line(end: Array) -> Array:
    """Minus the logarithm of the mass below `end`."""
    sure, never = end >= _infinity(end), end <= -_infinity(end)
    below = end < 0
    far = select(below & ~never, -end, 1.0)
    mass = -jnp.log1p(-_tail(select(below | sure, 1.0, end)))
    some = select(below, far * far / 2 + LOG_ROOT_2PI - jnp.log(_mills(far)), mass)
    return select(sure, 0.0, select(never, jnp.inf, some))


def _tail(x: Array) -> Array:
    """The normal mass above ``x >= 0``."""
    return jnp.exp(-x * x / 2 - LOG_ROOT_2PI) * _mills(x)


def _mills(x: Array) -> Array:
    """The normal mass above ``x >= 0`` over the density there (Mills' ratio): ``exp(-x v - v**2 / 2)``, integrated over ``v > 0``.

    By Clenshaw's recurrence: times ``x + 3`` it is a polynomial of ``(x - 3) / (x + 3)``, but for 1e-10, its derivative but for 1e-8; in
    float64 for 5e-15 and 5e-13. Without `lax.erfc`, which jax 0.12 does not trace inside `jax.shard_map`.
    """
    scale = 1 / (x + SHIFT)
    t = (x - SHIFT) * scale
    first = second = jnp.zeros_like(x)
    for c in SERIES[:0:-1] if x.dtype == jnp.float64 else SERIES[14:0:-1]:
        first, second = 2 * t * first - second + float(c), first
    return (t * first - second + float(SERIES[0])) * scale


SHIFT = 3.0


def _series(degree: int) -> np.ndarray:
    """The Chebyshev coefficients of Mills' ratio times ``x + SHIFT``."""
    t = np.cos(np.pi * (np.arange(64) + 0.5) / 64)
    x = SHIFT * (1 + t) / (1 - t)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    end = 40 / (x[:, None] + 4)  # beyond which there is less than exp(-40) of it
    v = end * (nodes + 1) / 2
    ratio = np.sum(weights * end / 2 * np.exp(-x[:, None] * v - v * v / 2), axis=1)
    return np.polynomial.chebyshev.chebfit(t, (x + SHIFT) * ratio, degree)


SERIES = _series(24)
