"""Sums over the pixels of one mask, of which the overlap and boundary losses are made."""

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.domains import is_known
from jloss._core.layout import class_sums, pixel_sum, pixel_sum_of_terms
from jloss.numerics import absolute, positive_part, safe_divide


def keep_pixels(mask: Array | None, *arrays: Array) -> list[Array]:
    """The arrays with zeros at ignored pixels, which then count nowhere and have no gradient, whatever they held.

    The zeros are made from the mask, so that they lie as it does: to meet a constant, vmap would move the class axis to the
    front, which doubles the time of the sums on CPUs.
    """
    return [a if mask is None else jnp.where(mask, a, (mask & ~mask).astype(a.dtype)) for a in arrays]


def number_of_pixels(x: Array) -> Array:
    """To divide by: 1 of none."""
    return jnp.asarray(max(x.size, 1) if is_known(x.size) else x.size)


def pixel_mean(x: Array, mask: Array | None) -> Array:
    """The mean over the kept pixels; 0 if there is none."""
    if mask is None:
        return pixel_sum(x) / number_of_pixels(x).astype(x.dtype)
    return pixel_sum(jnp.where(mask, x, 0.0)) / jnp.maximum(jnp.sum(mask, dtype=jnp.int32), 1).astype(x.dtype)


def confusion(predictions: Array, targets: Array, mask: Array | None = None, soft_labels: bool = False) -> tuple[Array, Array, Array]:
    """True positives, false positives, false negatives.

    Each sum has a product of its own: XLA on CPUs sums ``p y`` as it multiplies, but writes what two sums share.
    """
    p, y = keep_pixels(mask, predictions, targets)
    if soft_labels:
        over = positive_part(p - y)
        return pixel_sum(p - over), pixel_sum(over), pixel_sum(positive_part(y - p))
    return pixel_sum((p + p) * y) / 2, pixel_sum(p - p * y), pixel_sum(y + -p * y)


def both_absent(p: Array, y: Array) -> Array:
    """``(1 - p) (1 - y)``, whose gradient needs no other array than `y`."""
    return (1 - p) - (1 - p) * y


def error_and_total(
    predictions: Array,
    targets: Array,
    mask: Array | None,
    squared: bool = False,
    soft_labels: bool = False,
    by_class: bool = False,
) -> tuple[Array, Array]:
    """``fp + fn`` and ``2 tp + fp + fn``, by sums that need no temporary: ``p (1 - y)`` would write the array ``1 - y``."""
    p, y = keep_pixels(mask, predictions, targets)
    if squared:
        error, first, second = jnp.square(p - y), jnp.square(p), jnp.square(y)
    elif soft_labels:
        error, first, second = absolute(p - y), p, y
    else:
        both = p * y
        error, first, second = (p - both) + (y - both), p, y
    add_up = class_sums if by_class else pixel_sum
    return (add_up if by_class else pixel_sum_of_terms)(error), add_up(first) + add_up(second)


def share(part: Array, whole: Array, of_nothing: float = 0.0) -> Array:
    """``part / whole``, `of_nothing` with gradient 0 where the whole is 0.

    The derivative divides by the square of the whole, which is 0 in float32 below 1e-19: such are the pixels of a mask that is surely
    empty, of logits of -50. A power of two, which rounds nothing, keeps it in range.
    """
    scale = jnp.where(jnp.abs(lax.stop_gradient(whole)) < 2.0**-32, 2.0**63, 1.0)
    return safe_divide(part * scale, whole * scale, of_nothing)


def missed_share(tp: Array, error: Array, smooth_numerator: Array | float, smooth_denominator: Array | float) -> Array:
    """``1 - (tp + s) / (tp + error + d)`` without its cancellation; 0 for two empty masks that nothing smooths."""
    return share(error + (smooth_denominator - smooth_numerator), tp + error + smooth_denominator)


def power(x: Array, exponent: Array | float) -> Array:
    """``x ** exponent`` for ``x >= 0`` and a positive exponent; gradient 0 at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.where(positive, x, 1.0) ** exponent, jnp.where(jnp.isnan(x), x, 0.0))


SMOOTH = {"smooth_numerator": "nonnegative", "smooth_denominator": "nonnegative"}


MIN_PROBABILITY = 1e-7  # under a logarithm or a root of a probability: its gradient is finite, and 0 below


def clipped_log(p: Array) -> Array:
    return jnp.log(jnp.maximum(p, MIN_PROBABILITY))
