"""Arithmetic whose gradient is finite where the mathematics allows it, and that exports to every platform.

Each function says what happens at its awkward point. All of them are plain compositions that `jax.grad` differentiates;
the rule behind most is the double `where`: the untaken branch must be harmless, too.
"""

import functools
import itertools
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._chunk import another_way, few

ROW = 1 << 10  # numbers that CPUs add up side by side


def safe_divide(numerator: Array, denominator: Array, fallback: float = 0.0) -> Array:
    """The quotient, and `fallback` with gradient 0 where the denominator is 0."""
    nonzero = denominator != 0
    return jnp.where(nonzero, numerator / jnp.where(nonzero, denominator, 1.0), fallback)


def quotient(numerator: Array, denominator: Array) -> Array:
    """The quotient, whose derivative does not square a tiny denominator: both are first divided by it, as a constant."""
    scale = 1 / lax.stop_gradient(denominator)
    return numerator * scale / (denominator * scale)


def safe_sqrt(x: Array) -> Array:
    """The square root, with gradient 0 at 0 (not inf) and value 0 below."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), jnp.where(jnp.isnan(x), x, 0.0))


def safe_log(x: Array) -> Array:
    """The logarithm: -inf at 0, but with gradient 0 there, so that ``0 * safe_log(0)`` can be masked."""
    positive = x > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1.0)), jnp.where(x == 0, -jnp.inf, jnp.nan))


def safe_norm(x: Array, axis: int | tuple[int, ...] | None = -1, keepdims: bool = False) -> Array:
    """The Euclidean norm, with gradient 0 at a zero vector; scaled, so that it neither over- nor underflows."""
    scale = _scale(x, axis)
    norm = scale * safe_sqrt(jnp.sum(jnp.square(x * (1 / scale)), axis=axis, keepdims=True))
    return norm if keepdims else jnp.squeeze(norm, axis=axis)


def normalize(x: Array, axis: int = -1) -> Array:
    """The unit vector; a zero vector stays zero, with gradient 0. Scaled, so that a tiny vector has its (huge) gradient, not NaN."""
    return x * inverse_norm(x, axis)


def inverse_norm(x: Array, axis: int = -1) -> Array:
    """One over the Euclidean norm, the axis kept; 0 with gradient 0 for a zero vector. Times the vector it is `normalize`."""
    inverse = 1 / _scale(x, axis)
    norm = safe_sqrt(jnp.sum(jnp.square(x * inverse), axis=axis, keepdims=True))
    return inverse * safe_divide(jnp.ones_like(norm), norm)


def _scale(x: Array, axis: int | tuple[int, ...] | None) -> Array:
    """A power of two, by which numbers are scaled without rounding: 1, or such that their squares neither over- nor underflow.

    It goes by the sum of sizes, which is faster than a maximum.
    """
    range_of = jnp.finfo(x.dtype).maxexp  # 128 in float32
    size = jnp.sum(jnp.abs(lax.stop_gradient(x)), axis=axis, keepdims=True)
    high, low = 2.0 ** (range_of * 5 // 8), 2.0 ** -(range_of * 5 // 8)
    return jnp.where(size > 2.0 ** (range_of // 4), high, jnp.where(size < 2.0 ** -(range_of // 4), low, jnp.ones_like(size)))


def absolute(x: Array) -> Array:
    """The absolute value, with gradient 0 at 0 (`jnp.abs` has +1 there)."""
    return jnp.where(x == 0, 0.0, jnp.abs(x))


def clipped(x: Array, low: float, high: float) -> Array:
    """`jnp.clip`, in operations of which every interpreter knows the derivatives."""
    return jnp.where(x < low, low, jnp.where(x > high, high, x))


def positive_part(x: Array) -> Array:
    """``max(x, 0)``, with gradient 0 at 0 (`jnp.maximum` has one half there)."""
    return jnp.where(x > 0, x, jnp.where(jnp.isnan(x), x, 0.0))


def largest(x: Array) -> Array:
    """The maximum along the last axis, and NaN if it is finite but there is a NaN: XLA's own, vectorised on CPUs, passes that over.

    A NaN shows in the sum, which is the cheapest of all passes (a hinge loss takes 10 % longer with `jnp.any`). So does a sum that
    overflows both ways, of numbers near 1e38 of either sign.
    """

    def top(x: Array) -> Array:
        peak, total = jnp.max(x, axis=-1), jnp.sum(x, axis=-1)
        return jnp.where((peak < jnp.inf) & jnp.isnan(total), jnp.nan, peak)

    def mean_of_the_largest(x: Array) -> Array:
        """Which XLA does not keep for the gradient, as it does with `jnp.max`."""
        is_largest = x == jnp.max(lax.stop_gradient(x), axis=-1, keepdims=True)
        return jnp.sum(jnp.where(is_largest, x, 0.0), axis=-1) / jnp.sum(is_largest, axis=-1, dtype=jnp.int32).astype(x.dtype)

    if few():
        peak = top(lax.stop_gradient(x))
        return jnp.where(jnp.isnan(peak), peak, mean_of_the_largest(x))
    return another_way(top, mean_of_the_largest)(x)


def pixel_sum(x: Array) -> Array:
    """The sum of all pixels, rows first where `jloss._loss.loss_of_pixels` has made some: (..., 1, row)."""
    # Without the 1, which makes XLA's dot products on CPUs fifty times slower.
    return _rows_first(jnp.squeeze(x, -2), 1) if x.ndim > 2 and x.shape[-2] == 1 else jnp.sum(x)


def class_sums(x: Array) -> Array:
    """The sums over all axes but the last, rows first where the classes are few (with 21, the rest of such a loss gets slower)."""
    row = row_length(x, x.ndim - 2)
    if row == 1 or x.shape[-1] >= 16:
        return jnp.sum(x, axis=tuple(range(x.ndim - 1)))
    return _rows_first(x.reshape(*x.shape[:-2], x.shape[-2] // row, row, x.shape[-1]), 2)


def row_length(x: Array, axis: int) -> int:
    """Into how long rows to cut an axis of pixels with classes behind it: about a thousand numbers, which CPUs add up side by side.

    1 where nothing is cut: sizes are not known, devices share the axis, or rows of fewer than 8 would cross the tiles of a TPU.
    """
    pixels, classes = x.shape[axis:]
    if not (isinstance(pixels, int) and isinstance(classes, int)) or spec_of(x)[axis] is not None:
        return 1
    row = math.gcd(pixels, 1 << max(0, (ROW // max(1, classes)).bit_length() - 1))
    return row if pixels >= row >= 8 else 1


def _rows_first(x: Array, behind: int) -> Array:
    """The sum over all axes but the last `behind`, and then over the first of these, which XLA on CPUs is kept from joining."""
    row = jnp.sum(x, axis=tuple(range(x.ndim - behind)))
    return jnp.sum(lax.platform_dependent(row, cpu=lax.optimization_barrier, default=lambda row: row), axis=0)


def spec_of(x: Array) -> tuple[Any, ...]:
    """The mesh axes over which each axis is explicitly sharded, or None."""
    spec = getattr(getattr(jax.typeof(x), "sharding", None), "spec", ())
    return (*spec, *[None] * (x.ndim - len(spec)))


def angle(y: Array, x: Array) -> Array:
    """`jnp.arctan2` of finite numbers that are not both 0. XLA on CPUs calls a function for each: 15 ns, this 0.6."""

    def quotient(y: Array, x: Array) -> Array:
        steep = jnp.abs(y) > jnp.abs(x)
        slope = jnp.where(steep, -x, y) / jnp.where(steep, y, x)
        turn = jnp.where(steep, math.pi / 2, jnp.where(x < 0, math.pi, 0.0))
        square = jnp.square(slope)  # arctan(slope) / slope by least squares, its weights levelled to a relative error of 2e-8
        above = 0.9999999798 + square * (0.8983980677 + square * 0.1376135111)
        below = 1 + square * (1.231729352 + square * (0.3482232765 + square * 0.01237785385))
        # One division at the end: XLA keeps its result, not what went into it, for the gradient.
        return (slope * above + jnp.where(y < 0, -turn, turn) * below) / below

    def fast(y: Array, x: Array) -> Array:
        return lax.platform_dependent(y, x, cpu=quotient, default=jnp.arctan2)

    return another_way(fast, jnp.arctan2)(y, x) if y.dtype == jnp.float32 and not few() else jnp.arctan2(y, x)


def by_sign(sign: Array, above: Array, below: Array) -> Array:
    """The one where the sign is positive, the other where it is not, and NaN where it is NaN."""
    return jnp.where(sign > 0, above, jnp.where(sign <= 0, below, jnp.nan))


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))`` without overflow; its gradient is the logistic function, also at 0 and at infinity."""
    positive = x > 0  # one comparison for both terms: with `jnp.abs`, whose slope at 0 is +1, they would add up to -1/2 there
    return jnp.where(positive, x, 0.0) + jnp.log1p(jnp.exp(jnp.where(positive, -x, x)))


def xlogy(x: Array, y: Array) -> Array:
    """``x log y``; 0 with gradient 0 in `y` where `x` is 0, whatever `y` is. In `x` it is ``log y`` where that is finite."""
    nothing = (x == 0) & ~((y > 0) & (y < jnp.inf))
    return x * jnp.log(jnp.where(nothing, 1.0, y))


def log1mexp(x: Array) -> Array:
    """``log(1 - exp(x))`` for ``x < 0``, accurate at both ends; -inf at 0, with gradient 0 there."""
    near = x > -0.6931472
    inside, missing = x < 0, jnp.isnan(x)
    x = jnp.where(inside, x, -1.0)
    value = jnp.where(near, jnp.log(-jnp.expm1(jnp.where(near, x, -1.0))), jnp.log1p(-jnp.exp(jnp.where(near, -1.0, x))))
    return jnp.where(inside, value, jnp.where(missing, jnp.nan, -jnp.inf))


def logsumexp(x: Array, axis: int = -1, *, axis_name: str | tuple[str, ...] | None = None, keepdims: bool = False) -> Array:
    """``log sum exp``, over devices too where the axis is sharded over `axis_name`; all -inf gives -inf with gradient 0.

    The maximum is a constant for the gradient, which makes `lax.pmax` (that has no derivative) harmless.
    """
    log_total, peak = log_partition(x, axis, axis_name=axis_name)
    result = log_total + peak
    return result if keepdims else jnp.squeeze(result, axis=axis)


def log_partition(x: Array, axis: int = -1, *, axis_name: str | tuple[str, ...] | None = None) -> tuple[Array, Array]:
    """The pair ``log sum exp(x - peak)``, ``peak``, with the axis kept: apart they hold the digits that large logits swallow.

    The peak may be +inf; ``x - peak`` is for `below`.
    """
    peak = jnp.max(lax.stop_gradient(x), axis=axis, keepdims=True)
    if axis_name is not None:
        peak = lax.pmax(peak, axis_name)
    peak = jnp.where(peak == -jnp.inf, 0.0, peak)
    total = jnp.sum(jnp.exp(below(x, peak)), axis=axis, keepdims=True)
    if axis_name is not None:
        total = lax.psum(total, axis_name)
    return safe_log(total), peak


def below(x: Array, peak: Array) -> Array:
    """``x - peak``, where no number is above its peak. A peak of +inf takes all probability: 0 there, -inf elsewhere, no gradient."""
    return jnp.where(peak == jnp.inf, jnp.where(x == jnp.inf, 0.0, -jnp.inf), x - peak)


def log_softmax(logits: Array, *, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """Log-probabilities over the last axis. A logit of -inf is an absent class, without gradient; those of +inf share all probability."""
    log_total, peak = log_partition(logits, axis_name=axis_name)
    return below(logits, peak) - log_total


def pick(values: Array, label: Array, *, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """``values[label]`` of one example; NaN for a label outside 0..k-1.

    Where the class axis is whole, CPUs gather (two to three times faster from a thousand classes on); accelerators compare
    and select, which fuses into the pass over the logits and partitions over classes. So does the gradient everywhere: no scatter.
    Inside `jax.shard_map` with the classes sharded over `axis_name`, `label` counts over all shards.
    """
    k = values.shape[-1]
    if axis_name is not None:
        shards = lax.psum(1, axis_name)
        local = label - k * lax.axis_index(axis_name)
        picked = lax.psum(_select(values, local), axis_name)
        return jnp.where((label >= 0) & (label < k * shards), picked, jnp.nan)
    inside = (label >= 0) & (label < k)
    index = jnp.where(inside, label, 0)
    picked = _select if spec_of(values)[-1] is not None else _gather if few() else another_way(_looked_up, _select)
    return jnp.where(inside, picked(values, index), jnp.nan)


def _select(values: Array, index: Array) -> Array:
    return jnp.sum(jnp.where(jnp.arange(values.shape[-1], dtype=index.dtype) == index, values, 0.0), axis=-1)


def _looked_up(values: Array, index: Array) -> Array:
    return lax.platform_dependent(values, index, cpu=_gather, default=_select)


def _gather(values: Array, index: Array) -> Array:
    return lax.dynamic_index_in_dim(values, index, axis=-1, keepdims=False)


def safe_exp(x: Array) -> Array:
    """The exponential; where it overflows it is inf, with gradient 0 (not inf, which times 0 is NaN)."""
    fits = x < math.log(float(jnp.finfo(x.dtype).max))
    return jnp.where(fits, jnp.exp(jnp.where(fits, x, 0.0)), jnp.where(jnp.isnan(x), x, jnp.inf))


def log_cosh(x: Array) -> Array:
    """``log cosh x`` without overflow, all digits kept near 0; its gradient is the hyperbolic tangent."""
    x = jnp.abs(x)
    near = x < 0.5
    square = jnp.square(jnp.where(near, x, 0.0))
    series = jnp.zeros_like(square)
    for coefficient in reversed(_log_cosh_series(_terms(x, 8, 16))):
        series = coefficient + square * series
    return jnp.where(near, square * series, x - (math.log(2) - jnp.log1p(jnp.exp(-2 * x))))


@functools.cache
def _log_cosh_series(terms: int) -> list[float]:
    """The coefficients of x^2, x^4, ...; those of tanh, its derivative, are what ``tanh' = 1 - tanh^2`` makes them."""
    tanh = [0.0, 1.0]
    for n in range(2, 2 * terms):
        tanh.append(-sum(tanh[i] * tanh[n - 1 - i] for i in range(n)) / n)
    return [c / (n + 1) for n, c in enumerate(tanh) if n % 2]


def scaled_expm1(x: Array, c: Array | float) -> Array:
    """``(exp(c x) - 1) / c``, which is ``x`` at ``c = 0``; smooth there, in both arguments. A Python `c` costs less."""
    if isinstance(c, float) and not c:
        return x
    y = c * x
    near = jnp.abs(y) < 0.5
    small = jnp.where(near, y, 0.0)
    ratio = jnp.expm1(small) / c if isinstance(c, float) else x * _exp_series(small, 2)
    far = jnp.exp(jnp.where(near, 0.0, y)) - 1  # its derivative keeps the digits that expm1's loses
    return jnp.where(near, ratio, far / (c if isinstance(c, float) else jnp.where(near, 1.0, c)))


def scaled_log1p(x: Array, c: Array | float) -> Array:
    """``log(1 + c x) / c``, which is ``x`` at ``c = 0``; smooth there, in both arguments. A Python `c` costs less."""
    if isinstance(c, float):
        return jnp.log1p(c * x) / c if c else x
    y = c * x
    near = jnp.abs(y) < 0.1
    small = jnp.where(near, y, 0.0)
    series = jnp.zeros_like(y)
    for n in reversed(range(1, _terms(y, 8, 17))):
        series = 1 / n - small * series
    return jnp.where(near, x * series, jnp.log1p(jnp.where(near, 0.0, y)) / jnp.where(near, 1.0, c))


def exp_remainder(x: Array) -> Array:
    """``exp(x) - 1 - x``, to the last digit also near 0."""
    near = jnp.abs(x) < 0.5
    return jnp.where(near, small_exp_remainder(jnp.where(near, x, 0.0)), safe_exp(x) - 1 - x)


def small_exp_remainder(x: Array) -> Array:
    """``exp(x) - 1 - x`` for ``|x| < 0.5``, by its series."""
    return 0.5 * x * x * _exp_series(x, 3)


def power_divergence(x: Array, y: Array, alpha: Array) -> Array:
    """``(x**a y**(1-a) - a x + (a-1) y) / (a (a-1))`` of two nonnegative numbers, with its limits at ``a = 0`` and 1.

    Accurate near ``x = y``. 0 or inf at zeros as the limits say; a derivative that is infinite there is given as 0.
    """
    swap = alpha < 0.5  # exchanging x and y is exchanging a and 1 - a
    x, y, alpha = jnp.where(swap, y, x), jnp.where(swap, x, y), jnp.where(swap, 1 - alpha, alpha)
    inside = (x > 0) & (y > 0)
    p, q = jnp.where(inside, x, 1.0), jnp.where(inside, y, 1.0)
    size = lax.stop_gradient(jnp.maximum(p, q))
    scale = 1 / size  # the larger becomes 1: no quotient overflows, no logarithm cancels (and XLA keeps products as they are)
    near = jnp.abs(p - q) < 0.125 * q
    gap = jnp.where(near, p - q, 0.0) * scale
    p, q = p * scale, q * scale
    base = jnp.where(near, q, 1.0)
    w = gap / base
    series = jnp.ones_like(w)
    for n in reversed(range(1, _terms(w, 9, 18))):
        series = 1 + w * ((alpha - 1 - n) / (n + 2)) * series
    p, q = jnp.where(near, 1.0, p), jnp.where(near, 0.5, q)
    log_ratio = jnp.log(p) - jnp.log(q)
    far = (p * scaled_expm1(log_ratio, alpha - 1) - p + q) / alpha
    value = size * jnp.where(near, 0.5 * gap * w * series, far)
    without_x = y / alpha - jnp.where(alpha > 1, x / jnp.where(alpha > 1, alpha - 1, 1.0), 0.0)
    without_y = jnp.where(alpha < 1, x / jnp.where(alpha < 1, 1 - alpha, 1.0), jnp.inf)
    edge = jnp.where(x == 0, without_x, jnp.where(y == 0, without_y, jnp.nan))
    return jnp.where(inside, value, edge)


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


def logaddexp(x: Array, y: Array) -> Array:
    """``log(exp(x) + exp(y))``; two equal numbers share the gradient evenly, two -inf have gradient 0 (not NaN)."""
    first = x > y
    high, low = jnp.where(first, x, y), jnp.where(first, y, x)
    nothing = high == -jnp.inf
    base = jnp.where(nothing, 0.0, high)
    return jnp.where(nothing, lax.stop_gradient(low), base + jnp.log1p(jnp.exp(low - base)))  # low may be NaN


def surprise(logits: Array, label: Array, *, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """``-log softmax(logits)[label]``, the sum of two parts of 0 or more, so that logits of 1e4 lose no digits."""
    log_total, peak = log_partition(logits, axis_name=axis_name)
    return log_total[0] - below(pick(logits, label, axis_name=axis_name), peak[0])


def focal(surprise: Array, gamma: Array | float) -> Array:
    """``(1 - p)**gamma * surprise`` for ``p = exp(-surprise)``; 0 with gradient 0 where p has rounded to 1."""
    matched = surprise <= 0
    surprise = jnp.where(matched, 1.0, surprise)
    return jnp.where(matched, 0.0, jnp.exp(gamma * log1mexp(-surprise)) * surprise)
