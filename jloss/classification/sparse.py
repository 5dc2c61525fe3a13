r"""Classification whose probabilities can be exactly 0: Fenchel-Young losses of projections onto the simplex.

`logits` are scores of k classes, :math:`y` is the label, :math:`e_y` its one-hot vector and :math:`p` the sparse probabilities. Each loss
is :math:`\max_p\,(p \cdot z + H(p)) - z_y` for an entropy H, so its gradient is :math:`p - e_y`, as for cross entropy (Shannon's H).
Unlike cross entropy it is exactly 0 once the label leads by a margin.
"""

from collections.abc import Callable
from typing import Unpack

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import OverClasses
from jloss._core.sorting import ascending, if_short, sum_over_others
from jloss.numerics import max_or_nan, pick


@loss("(k),()->()", "real class")
def sparsemax(logits: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Cross entropy's sparse relative: most classes get probability 0, and a lead of 1 costs nothing.

    .. math:: \ell = p \cdot z - \tfrac12 \|p\|^2 + \tfrac12 - z_y \qquad p = \max(z - \tau, 0), \quad \sum_c p_c = 1

    with `logits` z. p is the Euclidean projection of z onto the simplex; the gradient is :math:`p - e_y`. A class at -inf is absent.
    For two classes it is the modified Huber loss (optax's `sparsemax_loss`). Softer at the edge: `entmax15`.

    Args:
        logits: Scores of the classes.
        labels: The class; outside 0..k-1 the example is NaN.

    >>> sparsemax(jnp.array([[1.0, 0.0], [0.0, 0.0]]), jnp.array([0, 0]), reduction="none")
    Array([0.  , 0.25], dtype=float32)

    References:
        Martins and Astudillo, From Softmax to Sparsemax, 2016. https://arxiv.org/abs/1602.02068
    """
    z, hit = _below_the_top(logits, labels)

    def in_order(depths: Array) -> Array:
        ordered, rank = _descending(depths)
        return _last((jnp.cumsum(ordered) - 1) / rank, 1 + rank * ordered > jnp.cumsum(ordered))

    kept = _kept(z, in_order, lambda above: above)
    size = jnp.sum(select(kept, jnp.ones_like(z), 0.0))
    tau = (jnp.sum(select(kept, z, 0.0)) - 1) / size
    p = select(kept, z - tau, 0.0)
    return jnp.sum(p * select(kept, z - 0.5 * p, 0.0)) + 0.5 + hit


@loss("(k),()->()", "real class")
def entmax15(logits: Array, labels: Array, **reduce: Unpack[OverClasses]) -> Array:
    r"""Halfway between cross entropy and `sparsemax`: sparse probabilities that leave 0 smoothly; a lead of 2 costs nothing.

    .. math:: \ell = p \cdot z + \tfrac43 \Bigl(1 - \sum_c p_c^{3/2}\Bigr) - z_y \qquad p = \max(z/2 - \tau, 0)^2, \quad \sum_c p_c = 1

    with `logits` z; H is Tsallis' entropy of order 1.5. The gradient is :math:`p - e_y`. A class at -inf is absent.

    Args:
        logits: Scores of the classes.
        labels: The class; outside 0..k-1 the example is NaN.

    >>> entmax15(jnp.array([[2.0, 0.0], [0.0, 0.0]]), jnp.array([0, 0]), reduction="none")
    Array([0.       , 0.3905243], dtype=float32)

    References:
        Peters, Niculae and Martins, Sparse Sequence-to-Sequence Models, 2019. https://arxiv.org/abs/1905.05702
    """
    z, hit = _below_the_top(logits, labels)

    def in_order(depths: Array) -> Array:
        ordered, rank = _descending(depths)
        mean = jnp.cumsum(ordered) / rank
        spread = jnp.cumsum(jnp.square(ordered)) - rank * jnp.square(mean)
        candidates = mean - jnp.sqrt(jnp.maximum((1 - spread) / rank, 0))
        return _last(candidates, candidates <= ordered)

    kept = _kept(0.5 * z, in_order, jnp.square)
    size = jnp.sum(select(kept, jnp.ones_like(z), 0.0))
    half = select(kept, 0.5 * z, 0.0)
    center = jnp.sum(half) / size
    left = (1 - jnp.sum(jnp.square(select(kept, half - center, 0.0)))) / size
    root = select(kept, half - center + jnp.sqrt(left), 0.0)
    p = jnp.square(root)
    return jnp.sum(p * select(kept, z, 0.0)) + 4 / 3 * (1 - jnp.sum(p * root)) + hit


def _below_the_top(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The logits less their maximum, and how far the label is below it."""
    top = lax.stop_gradient(max_or_nan(logits))
    return logits - top, top - pick(logits, labels)


def _kept(z: Array, threshold: Callable[[Array], Array], share: Callable[[Array], Array]) -> Array:
    """Which classes have a probability: those above the threshold that is found from how far they are below the top, in order; or,
    those above which lies less than 1, each class counted by its `share` of how far it is above.

    No class more than 1 below the top is ever kept, so what is far below may be moved up to -2.
    """

    def sorted_out(z: Array) -> Array:
        return z > threshold(jnp.abs(jnp.maximum(z, -2)))

    def compared(z: Array) -> Array:
        near = jnp.maximum(z, -2)
        return sum_over_others(lambda one, other: share(jnp.maximum(other - one, 0)), [near], [near]) < 1

    return if_short(z, cpu=compared, default=sorted_out)


def _descending(depths: Array) -> tuple[Array, Array]:
    """The numbers in order, from the top, and ranks 1..k."""
    return -ascending(depths), jnp.arange(1, depths.shape[-1] + 1).astype(depths.dtype)


def _last(values: Array, holds: Array) -> Array:
    """The value at the last place where `holds`, which is true up to there."""
    return pick(values, jnp.sum(holds.astype(jnp.int32), dtype=jnp.int32) - 1)
