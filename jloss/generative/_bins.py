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


NODES, NODE_WEIGHTS = (x / 2 for x in np.polynomial.legendre.leggauss(8))  # on -1/2..1/2


def _flat_bin(centre: Array, log_width: Array) -> Array:
    """Minus the logarithm of the mass of a bin over which the density falls by less than e."""
    width = jnp.exp(log_width)
    terms = (
        float(weight) * jnp.exp(-(centre * width) * float(node) - jnp.square(width * float(node)) / 2)
        for node, weight in zip(NODES, NODE_WEIGHTS, strict=True)
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

    By the Gauss rule near 0 and a continued fraction far out. Without `lax.erfc`, which jax 0.12 does not trace inside `jax.shard_map`.
    """
    wide = x.dtype == jnp.float64
    near = x < 4
    small, large = select(near, x, 0.0), select(near, 4.0, x)
    nodes, weights = HALF_LINE[wide]
    terms = (float(w) * jnp.exp(-(small + float(v) / 2) * float(v)) for v, w in zip(nodes, weights, strict=True))
    ratio = large
    for n in reversed(range(1, 32 if wide else 10)):
        ratio = large + n / ratio
    return select(near, functools.reduce(operator.add, terms), 1 / ratio)


def _rule(count: int, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on 0..end."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2 * end, weights / 2 * end


HALF_LINE = {False: _rule(12, 6.0), True: _rule(24, 8.5)}  # errors of 3e-9 and 2e-14
