"""Arithmetic whose gradient is finite where the mathematics allows it, and that exports to every platform.

Each function says what happens at its awkward point. All of them are plain compositions that `jax.grad` differentiates;
the rule behind most is the double `where`: the untaken branch must be harmless, too.
"""

import math

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import by_platform, computed_again, few, select, spec_of, with_derivative_of


def safe_divide(numerator: Array, denominator: Array, fallback: float = 0.0) -> Array:
    """The quotient, and `fallback` with gradient 0 where the denominator is 0."""
    nonzero = denominator != 0
    return select(nonzero, numerator / select(nonzero, denominator, 1.0), fallback)


def quotient(numerator: Array, denominator: Array) -> Array:
    """The quotient, whose derivative does not square a tiny denominator: both are first divided by it, as a constant."""
    scale = 1 / lax.stop_gradient(denominator)
    return numerator * scale / (denominator * scale)


def safe_sqrt(x: Array) -> Array:
    """The square root, with gradient 0 at 0 (not inf) and value 0 below."""
    positive = x > 0
    return select(positive, jnp.sqrt(select(positive, x, 1.0)), select(jnp.isnan(x), x, 0.0))


def safe_log(x: Array) -> Array:
    """The logarithm: -inf at 0, but with gradient 0 there, so that ``0 * safe_log(0)`` can be masked."""
    positive = x > 0
    return select(positive, jnp.log(select(positive, x, 1.0)), select(x == 0, -jnp.inf, jnp.nan))


def safe_norm(x: Array, axis: int | tuple[int, ...] | None = -1, keepdims: bool = False) -> Array:
    """The Euclidean norm, with gradient 0 at a zero vector; scaled, so that it neither over- nor underflows."""
    if x.dtype == jnp.float16:  # whose range is too narrow for the squares of a hundred numbers
        return safe_norm(x.astype(jnp.float32), axis, keepdims).astype(x.dtype)
    scale, inverse = _scale(x, axis)
    norm = scale * safe_sqrt(_sum_of_squares(x, inverse, axis))
    return norm if keepdims else jnp.squeeze(norm, axis=axis)


def normalize(x: Array, axis: int = -1) -> Array:
    """The unit vector; a zero vector stays zero, with gradient 0. Scaled, so that a tiny vector has its (huge) gradient, not NaN.

    Lengths from 1.2e-38 to 8e37 in float32; what is shorter counts as zero, and so does what is longer where the processor has no
    numbers below 1.2e-38, as CPUs under XLA.
    """
    if x.dtype == jnp.float16:
        return normalize(x.astype(jnp.float32), axis).astype(x.dtype)
    return x * inverse_norm(x, axis)


def inverse_norm(x: Array, axis: int = -1) -> Array:
    """One over the Euclidean norm, the axis kept; 0 with gradient 0 for a zero vector. Times the vector it is `normalize`."""
    if x.dtype == jnp.float16:
        return inverse_norm(x.astype(jnp.float32), axis).astype(x.dtype)
    _, inverse = _scale(x, axis)
    norm = safe_sqrt(_sum_of_squares(x, inverse, axis))
    return inverse * safe_divide(jnp.ones_like(norm), norm)


def _sum_of_squares(x: Array, inverse: Array, axis: int | tuple[int, ...] | None) -> Array:
    """Of ``x * inverse``."""

    def summed(x: Array, inverse: Array) -> Array:
        return jnp.sum(jnp.square(x * inverse), axis=axis, keepdims=True)

    return computed_again(summed)(x, inverse)


def _scale(x: Array, axis: int | tuple[int, ...] | None) -> tuple[Array, Array]:
    """A power of two and one over it, to scale numbers by without rounding: 1, or so that their squares do not over- or underflow.

    It goes by the sum of sizes, which is faster than a maximum. Its own square is in range, too, as XLA may multiply it out; that of the
    largest vectors is not, whose derivatives of `normalize` are below 1e-37 anyway.
    """
    range_of = jnp.finfo(jnp.result_type(x)).maxexp  # 128 in float32
    size = jnp.sum(jnp.abs(lax.stop_gradient(x)), axis=axis, keepdims=True)
    half, more = range_of // 2 - 1, range_of * 9 // 16  # 63 and 72
    large, small, largest = size > 2.0 ** (range_of // 4), size < 2.0 ** -(range_of // 4), size > 2.0 ** (range_of - 3)

    def scaled(sign: int) -> Array:
        above = select(largest, 2.0 ** (sign * more), jnp.full_like(size, 2.0 ** (sign * half)))
        return select(large, above, select(small, 2.0 ** (-sign * half), jnp.ones_like(size)))

    return scaled(1), scaled(-1)


def absolute(x: Array) -> Array:
    """The absolute value, with gradient 0 at 0 (`jnp.abs` has +1 there)."""
    return select(x == 0, 0.0, jnp.abs(x))


def clipped(x: Array, low: float, high: float) -> Array:
    """`jnp.clip`, in operations of which every interpreter knows the derivatives."""
    return select(x < low, low, select(x > high, high, x))


def positive_part(x: Array) -> Array:
    """``max(x, 0)``, with gradient 0 at 0 (`jnp.maximum` has one half there)."""
    return select(x > 0, x, select(jnp.isnan(x), x, 0.0))


def max_or_nan(x: Array) -> Array:
    """The maximum along the last axis, and NaN if it is finite but there is a NaN: XLA's own, vectorised on CPUs, passes that over.

    A NaN shows in the sum, which is the cheapest of all passes (a hinge loss takes 10 % longer with `jnp.any`). So does a sum that
    overflows both ways, of numbers near 1e38 of either sign.
    """

    last, others = (x.ndim - 1,), tuple(range(x.ndim - 1))

    def top(x: Array) -> Array:
        peak, total = lax.reduce_max(x, last), lax.reduce_sum(x, last)
        finite = lax.lt(peak, lax.full_like(peak, math.inf))
        return select(lax.bitwise_and(finite, lax.ne(total, total)), math.nan, peak)

    def mean_of_the_largest(x: Array) -> Array:
        """Which XLA does not keep for the gradient, as it does with `jnp.max`. NaN is not less than the largest."""
        peak = lax.broadcast_in_dim(lax.reduce_max(lax.stop_gradient(x), last), x.shape, others)
        count = lax.reduce_sum(lax.eq(x, peak).astype(x.dtype), last)
        total = lax.reduce_sum(select(lax.lt(x, peak), 0.0, x), last)
        some = lax.gt(count, lax.full_like(count, 0))  # a select there keeps XLA on CPUs from writing the shares to memory
        # None is the largest where XLA rounds a quotient of the caller's in one place and not in the other: 0, or the NaN that is there.
        return lax.div(select(some, total, lax.stop_gradient(total)), lax.max(count, lax.full_like(count, 1)))

    if not few():
        return with_derivative_of(mean_of_the_largest, top)(x)
    peak = lax.reduce_max(lax.stop_gradient(x), last)
    peak = select(jnp.isfinite(peak), peak, 0.0)
    return peak + mean_of_the_largest(x - jnp.expand_dims(peak, -1))  # of zeros: the mean of five equal numbers may be rounded


def select_by_sign(sign: Array, above: Array, below: Array) -> Array:
    """The one where the sign is positive, the other where it is not, and NaN where it is NaN."""
    return select(sign > 0, above, select(sign <= 0, below, jnp.nan))


def softplus(x: Array) -> Array:
    """``log(1 + exp(x))`` without overflow; its gradient is the logistic function, also at 0 and at infinity."""
    positive = x > 0  # one comparison for both terms: with `jnp.abs`, whose slope at 0 is +1, they would add up to -1/2 there
    return select(positive, x, 0.0) + jnp.log1p(jnp.exp(select(positive, -x, x)))


def softplus_by_series(x: Array) -> Array:
    """`softplus` by `log1p_of_share`, where its arithmetic is what a loss costs: `logistic` takes 0.62 of its time.

    Not where values are added up as they are, as over pairs: XLA for CPUs hands sums of its own logarithms to a library.
    """
    positive = x > 0
    return select(positive, x, 0.0) + log1p_of_share(jnp.exp(select(positive, -x, x)))


def log1p_of_share(x: Array) -> Array:
    """``log(1 + x)`` for x from 0 to 1: there ten terms do, and XLA's, which is for all x, takes five times as long on CPUs.

    Its derivative is that of `jnp.log1p`, as are its digits: within two units of the last place.
    """
    return with_derivative_of(jnp.log1p, _short_log1p)(x) if x.dtype == jnp.float32 and not few() else jnp.log1p(x)


def _short_log1p(x: Array) -> Array:
    """By least squares, weighted such that the relative error is at most 5e-9, before rounding."""
    return x * polynomial(
        x,
        0.9999999952872108,
        -0.49999902422634585,
        0.33329962412891767,
        -0.24954133618000318,
        0.19675939063892575,
        -0.15305592015866445,
        0.10603653946722694,
        -0.05695952503090174,
        0.019851457457098782,
        -0.003244024090161409,
    )


def polynomial(x: Array, *coefficients: float) -> Array:
    """``c0 + c1 x + c2 x^2 + ...``, by Horner's rule: XLA makes of the square of an exponential another exponential."""
    *others, last = coefficients
    total = last * x + others.pop()
    for coefficient in reversed(others):
        total = total * x + coefficient
    return total


def xlogy(x: Array, y: Array) -> Array:
    """``x log y``; 0 with gradient 0 in `y` where `x` is 0, whatever `y` is. In `x` it is ``log y`` where that is finite."""
    nothing = (x == 0) & ~((y > 0) & (y < jnp.inf))
    return x * jnp.log(select(nothing, 1.0, y))


def log1mexp(x: Array) -> Array:
    """``log(1 - exp(x))`` for ``x < 0``, accurate at both ends; -inf at 0, with gradient 0 there."""
    near = x > -0.6931472
    inside, missing = x < 0, jnp.isnan(x)
    x = select(inside, x, -1.0)
    value = select(near, jnp.log(-jnp.expm1(select(near, x, -1.0))), jnp.log1p(-jnp.exp(select(near, -1.0, x))))
    return select(inside, value, select(missing, jnp.nan, -jnp.inf))


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
    peak = _peak(x, axis, axis_name)
    total = log_total(_odds(x, peak), axis, axis_name=axis_name)
    return total if few() else select(peak == jnp.inf, lax.stop_gradient(total), total), peak


def log_odds_to_peak(x: Array, axis: int = -1, *, axis_name: str | tuple[str, ...] | None = None) -> tuple[Array, Array]:
    """The pair ``x - peak``, ``peak``, with the axis kept; 0 where both are +inf."""
    peak = _peak(x, axis, axis_name)
    return below(x, peak), peak


def _peak(x: Array, axis: int, axis_name: str | tuple[str, ...] | None) -> Array:
    axis %= x.ndim
    highest = lax.reduce_max(lax.stop_gradient(x), (axis,))
    if axis_name is not None:
        highest = lax.pmax(highest, axis_name)
    peak = select(lax.gt(highest, lax.full_like(highest, -math.inf)), highest, 0.0)  # 0 also for NaN, which is not to reach its neighbours
    return lax.expand_dims(peak, (axis,))


def log_total(log_odds: Array, axis: int = -1, *, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """``log sum exp`` of what is 0 at its peak, with the axis kept; a total of 0 or NaN has no gradient."""
    axis %= log_odds.ndim
    total = lax.reduce_sum(lax.exp(log_odds), (axis,))
    if axis_name is not None:
        total = lax.psum(total, axis_name)
    positive = lax.gt(total, lax.full_like(total, 0))
    log = select(positive, lax.log(select(positive, total, 1.0)), lax.stop_gradient(total) - math.inf)  # of 0 -inf, of NaN NaN
    return lax.expand_dims(log, (axis,))


def below(x: Array, peak: Array) -> Array:
    """``x - peak``, where no number is above its peak. A peak of +inf takes all probability: 0 there, -inf elsewhere, no gradient."""
    odds = _odds(x, peak)
    return select(peak == jnp.inf, lax.stop_gradient(odds), odds)


def _odds(x: Array, peak: Array) -> Array:
    """The same; of many numbers with the derivative of a difference, for what has none where the peak is +inf.

    Their one select is by `x`: with one by the peak XLA on CPUs would compute the exponentials of 16 to 47 classes one after the other.
    """

    def odds(x: Array, peak: Array) -> Array:
        return select(lax.eq(x, x.dtype.type(math.inf)), 0.0, x - peak)

    if few():
        return select(peak == jnp.inf, lax.stop_gradient(odds(x, peak)), x - peak)
    return with_derivative_of(lambda x, peak: x - peak, odds)(x, peak)


def log_softmax(logits: Array, *, temperature: Array | float | None = None, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """Log-probabilities over the last axis. A logit of -inf is an absent class, without gradient; those of +inf share all probability.

    `temperature` divides the logits once their peak is off: XLA may round a quotient in one place and not in another, and of logits of
    1e9 the difference is an exponent that overflows.
    """
    log_odds, peak = log_odds_to_peak(logits, axis_name=axis_name)
    log_odds = log_odds if temperature is None else log_odds / temperature
    total = log_total(log_odds, axis_name=axis_name)
    return log_odds - select(peak == jnp.inf, lax.stop_gradient(total), total)


def pick(values: Array, label: Array, *, axis_name: str | tuple[str, ...] | None = None) -> Array:
    """``values[label]`` of one example; NaN for a label outside 0..k-1.

    Where the class axis is whole, CPUs gather (two to three times faster from a thousand classes on); accelerators compare
    and select, which fuses into the pass over the logits and partitions over classes. So does the gradient everywhere: no scatter.
    Inside `jax.shard_map` with the classes sharded over `axis_name`, `label` counts over all shards.
    """
    k = values.shape[-1]
    label = jnp.asarray(label)
    label = label.astype(jnp.int32) if label.dtype.itemsize < 4 else label  # int8 does not count to 300
    if axis_name is not None:
        shards = lax.psum(1, axis_name)
        local = label - k * lax.axis_index(axis_name)
        picked = lax.psum(_select(values, local), axis_name)
        return select((label >= 0) & (label < k * shards), picked, jnp.nan)
    inside = (label >= 0) & (label < k)
    index = select(inside, label, 0)
    if spec_of(values)[-1] is not None:
        picked = _select
    elif few():
        picked = _select if k <= 256 else _gather  # which compiles a scatter for the gradient
    else:
        picked = with_derivative_of(_select, _looked_up)
    return select(inside, picked(values, index), jnp.nan)


def _select(values: Array, index: Array) -> Array:
    return jnp.sum(select(jnp.arange(values.shape[-1], dtype=index.dtype) == index, values, 0.0), axis=-1)


def _looked_up(values: Array, index: Array) -> Array:
    return by_platform(values, index, cpu=_gather, default=_select)


def _gather(values: Array, index: Array) -> Array:
    return jnp.take(values, index, axis=-1, mode="clip")  # one number, no slice of one: IREE refuses the gradient of those


def safe_exp(x: Array) -> Array:
    """The exponential; where it overflows it is inf, with gradient 0 (not inf, which times 0 is NaN)."""
    fits = x < _largest_exponent(x)
    return select(fits, jnp.exp(select(fits, x, 0.0)), select(jnp.isnan(x), x, jnp.inf))


def _largest_exponent(x: Array) -> float:
    """From here on the exponential overflows."""
    return math.log(float(jnp.finfo(jnp.result_type(x)).max))  # of NumPy's float64, too, JAX makes float32


def exp_plus(x: Array, rest: Array, factor: Array | None = None) -> Array:
    """``factor * exp(x) + rest`` of a positive factor; where the exponential overflows it is inf, with gradient 0.

    Of `safe_exp(x) + rest` the gradient would be that of the rest, which leads further into the overflow.
    """
    fits, power = x < _largest_exponent(x), safe_exp(x)
    return (power if factor is None else factor * power) + select(fits, rest, lax.stop_gradient(rest))


def logaddexp(x: Array, y: Array) -> Array:
    """``log(exp(x) + exp(y))``; two equal numbers share the gradient evenly, two -inf have gradient 0 (not NaN)."""
    first = x > y
    high, low = select(first, x, y), select(first, y, x)
    nothing = high == -jnp.inf
    base = select(nothing, 0.0, high)
    return select(nothing, lax.stop_gradient(low), base + jnp.log1p(jnp.exp(low - base)))  # low may be NaN
