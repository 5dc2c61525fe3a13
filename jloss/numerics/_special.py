"""Special functions by their series, and formulas that several families share."""

import functools
import itertools
import math
import operator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.backend import by_platform, few, select, with_derivative_of
from jloss.numerics import below, log1mexp, log_partition, pick
from jloss.numerics.guards import exp_plus, log1p_of_share, log_odds_to_peak, log_total, polynomial


def arctan2(y: Array, x: Array) -> Array:
    """`jnp.arctan2` of finite numbers that are not both 0. XLA on CPUs calls a function for each: 15 ns, this 0.6."""

    def quotient(y: Array, x: Array) -> Array:
        steep = jnp.abs(y) > jnp.abs(x)
        slope = select(steep, -x, y) / select(steep, y, x)
        turn = select(steep, math.pi / 2, select(x < 0, math.pi, 0.0))
        square = jnp.square(slope)  # arctan(slope) / slope by least squares, its weights levelled to a relative error of 2e-8
        above = 0.9999999798 + square * (0.8983980677 + square * 0.1376135111)
        below = 1 + square * (1.231729352 + square * (0.3482232765 + square * 0.01237785385))
        # One division at the end: XLA keeps its result, not what went into it, for the gradient.
        return (slope * above + select(y < 0, -turn, turn) * below) / below

    def fast(y: Array, x: Array) -> Array:
        return by_platform(y, x, cpu=quotient, default=jnp.arctan2)

    return with_derivative_of(jnp.arctan2, fast)(y, x) if y.dtype == jnp.float32 and not few() else jnp.arctan2(y, x)


def log_cosh(x: Array) -> Array:
    """``log cosh x`` without overflow, all digits kept near 0; its gradient is the hyperbolic tangent."""
    x = jnp.abs(x)
    near = x < 0.5
    square = jnp.square(select(near, x, 0.0))
    terms = _log_cosh_series(16) if x.dtype == jnp.float64 else LOG_COSH
    series = polynomial(square, *terms)
    return select(near, square * series, x - (math.log(2) - log1p_of_share(jnp.exp(-2 * x))))


# By least squares, weighted such that its relative error is at most 5e-11, that of its derivative 4e-9.
LOG_COSH = (0.4999999999768596, -0.08333332661430541, 0.02222190512757857, -0.006740528670663923, 0.0021432974105031, -0.000574543783185067)


@functools.cache
def _log_cosh_series(terms: int) -> list[float]:
    """The coefficients of x^2, x^4, ...; those of tanh, its derivative, are what ``tanh' = 1 - tanh^2`` makes them."""
    tanh = [0.0, 1.0]
    for n in range(2, 2 * terms):
        tanh.append(-sum(tanh[i] * tanh[n - 1 - i] for i in range(n)) / n)
    return [c / (n + 1) for n, c in enumerate(tanh) if n % 2]


def expm1(x: Array) -> Array:
    """``exp(x) - 1`` for ``x <= 0`` with its derivative: jax takes that of `jnp.expm1` plus 1, which far below 0 has no digits."""
    power = jnp.exp(x)
    return power - lax.stop_gradient(power) + lax.stop_gradient(jnp.expm1(x))


def tanh(x: Array) -> Array:
    """`jnp.tanh` with its derivative: jax takes one minus its square, which at 7 has two digits in float32 and from 9 on none."""
    if not few():  # its bytes are those of `jnp.tanh`
        return with_derivative_of(_tanh_far_out, jnp.tanh)(x)
    near = _tanh_far_out(x)
    return near - lax.stop_gradient(near) + lax.stop_gradient(jnp.tanh(x))


def _tanh_far_out(x: Array) -> Array:
    positive = x > 0
    share = jnp.exp(2 * select(positive, -x, x))
    size = (1 - share) / (1 + share)
    return select(positive, size, -size)


def xlogx(x: Array) -> Array:
    """``x log x`` of a probability, 0 with gradient 0 at 0. Its second derivative, 1 over x, squares nothing: that of 1e-20 is finite."""
    positive = x >= float(jnp.finfo(x.dtype).tiny)
    fixed = select(positive, lax.stop_gradient(x), 1.0)
    return x * (jnp.log(fixed) + jnp.log(select(positive, x * (1 / fixed), 1.0)))


def scaled_expm1(x: Array, c: Array | float) -> Array:
    """``(exp(c x) - 1) / c``, which is ``x`` at ``c = 0``; smooth there, in both arguments. A Python `c` costs less."""
    if isinstance(c, float) and not c:
        return x
    y = c * x
    near = jnp.abs(y) < 0.5
    small = select(near, y, 0.0)
    ratio = jnp.expm1(small) / c if isinstance(c, float) else x * _exp_series(small, 2)
    far = jnp.exp(select(near, 0.0, y)) - 1  # its derivative keeps the digits that expm1's loses
    return select(near, ratio, far / (c if isinstance(c, float) else select(near, 1.0, c)))


def scaled_log1p(x: Array, c: Array | float) -> Array:
    """``log(1 + c x) / c``, which is ``x`` at ``c = 0``; smooth there, in both arguments. A Python `c` costs less."""
    if isinstance(c, float):
        return jnp.log1p(c * x) / c if c else x
    y = c * x
    near = jnp.abs(y) < 0.1
    small = select(near, y, 0.0)
    series = jnp.zeros_like(y)
    for n in reversed(range(1, _terms(y, 8, 17))):
        series = 1 / n - small * series
    return select(near, x * series, jnp.log1p(select(near, 0.0, y)) / select(near, 1.0, c))


def exp_remainder(x: Array) -> Array:
    """``exp(x) - 1 - x``, to the last digit also near 0; inf with gradient 0 where the exponential overflows."""
    near = jnp.abs(x) < 0.5
    return select(near, small_exp_remainder(select(near, x, 0.0)), exp_plus(x, -1 - x))


def small_exp_remainder(x: Array) -> Array:
    """``exp(x) - 1 - x`` for ``|x| < 0.5``, by its series."""
    return 0.5 * x * x * _exp_series(x, 3)


def power_divergence(x: Array, y: Array, alpha: Array) -> Array:
    """``(x**a y**(1-a) - a x + (a-1) y) / (a (a-1))`` of two nonnegative numbers, with its limits at ``a = 0`` and 1.

    Accurate near ``x = y``. 0 or inf at zeros as the limits say; a derivative that is infinite there is given as 0.
    """
    swap = alpha < 0.5  # exchanging x and y is exchanging a and 1 - a
    rest = select(swap, alpha, 1 - alpha)  # a tiny `alpha` keeps its digits, which one minus it does not
    x, y, alpha = select(swap, y, x), select(swap, x, y), select(swap, 1 - alpha, alpha)
    inside = (x > 0) & (y > 0)
    p, q = select(inside, x, 1.0), select(inside, y, 1.0)
    size = lax.stop_gradient(jnp.maximum(p, q))
    scale = 1 / size  # the larger becomes 1: no quotient overflows, no logarithm cancels (and XLA keeps products as they are)
    near = jnp.abs(p - q) < 0.125 * q
    gap = select(near, p - q, 0.0) * scale
    p, q = p * scale, q * scale
    close = power_divergence_near(gap, select(near, q, 1.0), alpha)
    p, q = select(near, 1.0, p), select(near, 0.5, q)
    log_ratio = jnp.log(p) - jnp.log(q)
    far = (p * scaled_expm1(log_ratio, -rest) - p + q) / alpha
    return select(inside, size * select(near, close, far), power_divergence_at_zero(x, y, alpha, rest))


def power_divergence_near(gap: Array, y: Array, alpha: Array) -> Array:
    """`power_divergence` of ``y + gap`` and ``y`` that is not tiny, of which the gap is less than a sixth, by its series."""
    w = gap / y
    series = jnp.ones_like(w)
    for n in reversed(range(1, _terms(w, 9, 18))):
        series = 1 + w * ((alpha - 1 - n) / (n + 2)) * series
    return 0.5 * gap * w * series


def power_divergence_at_zero(x: Array, y: Array, alpha: Array, rest: Array) -> Array:
    """`power_divergence` where one number is 0; NaN elsewhere. For an `alpha` of 1/2 or more; `rest` is one minus it."""
    without_x = y / alpha + select(rest < 0, x / select(rest < 0, rest, 1.0), 0.0)
    without_y = select(rest > 0, x / select(rest > 0, rest, 1.0), jnp.inf)
    return select(x == 0, without_x, select(y == 0, without_y, jnp.nan))


def _exp_series(x: Array, first: int) -> Array:
    """``1 + x/first (1 + x/(first+1) (1 + ...))`` for ``|x| < 0.5``, multiplied out: half the products."""
    *coefficients, last = itertools.accumulate(range(first, first + _terms(x, 7, 13)), operator.truediv, initial=1.0)
    total = jnp.full_like(x, last)
    for coefficient in reversed(coefficients):
        total = coefficient + x * total
    return total


def _terms(x: Array, single: int, double: int) -> int:
    """How many terms of a series the digits of `x` are worth."""
    return double if x.dtype == jnp.float64 else single


def surprisal(logits: Array, label: Array, *, scale: Array | float | None = None, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """``-log softmax(scale * logits)[label]``, the sum of two parts of 0 or more, so that logits of 1e4 lose no digits."""
    log_odds, peak = log_odds_to_peak(logits, axis_name=axis_name)
    own = below(pick(logits, label, axis_name=axis_name), peak[0])
    log_odds, own = (log_odds, own) if scale is None else (scale * log_odds, scale * own)
    total = log_total(log_odds, axis_name=axis_name)
    return select(peak == jnp.inf, lax.stop_gradient(total), total)[0] - own


def focal(surprisal: Array, gamma: Array | float) -> Array:
    """``(1 - p)**gamma * surprisal`` for ``p = exp(-surprisal)``; 0 with gradient 0 where p rounds to 1; the surprisal where p is 0."""
    matched, absent = surprisal <= 0, surprisal == jnp.inf
    surprisal = select(matched, 1.0, surprisal)
    weight = jnp.exp(gamma * log1mexp(-select(absent, 1.0, surprisal)))
    return select(matched, 0.0, select(absent, 1.0, weight) * surprisal)


def softmax_entropy(logits: Array, axis_name: str | None = None) -> Array:
    """The entropy of a softmax, over devices too where the classes are sharded over `axis_name`; classes at -inf add nothing."""
    log_total, peak = log_partition(logits, axis_name=axis_name)
    log_odds = below(logits, peak)
    absent = log_odds == -jnp.inf
    gaps = log_total - select(absent, 0.0, log_odds)
    entropy = jnp.sum(select(absent, 0.0, jnp.exp(-gaps) * gaps))
    return entropy if axis_name is None else lax.psum(entropy, axis_name)


def is_small_whole(option: Any) -> bool:
    """Whether an option is known to be 1, 2, 3 or 4 as the loss is traced, as one that is left at its default: products make its power."""
    return not isinstance(option, Array) and np.ndim(option) == 0 and float(option) in (1, 2, 3, 4)


def raise_to(x: Array, exponent: Any) -> Array:
    """``x ** exponent``, by products where `is_small_whole`."""
    return lax.integer_pow(x, int(exponent)) if is_small_whole(exponent) else x**exponent
