"""Elementwise regression losses of (predictions, targets); ``e`` is their difference."""

from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._loss import Reduce, loss


@loss("(),()->()", "real real", delta="positive")
def huber(predictions: Array, targets: Array, *, delta: float = 1.0, **reduce: Unpack[Reduce]) -> Array:
    r"""Squared error near zero, absolute error beyond `delta`.

    .. math::
        \ell = \begin{cases} e^2/2 & |e| \le \delta \\ \delta\,(|e| - \delta/2) & |e| > \delta \end{cases}
        \qquad e = \text{predictions} - \text{targets}

    Its gradient is the error clipped to ``[-delta, delta]``, so one outlier cannot dominate a batch.
    For a smooth alternative see `log_cosh`.

    Args:
        predictions: Estimates.
        targets: True values.
        delta: Where the parabola meets the lines; positive.

    >>> huber(jnp.array([0.5, 3.0]), jnp.zeros(2), reduction="none")
    Array([0.125, 2.5  ], dtype=float32)

    References:
        Huber, Robust Estimation of a Location Parameter, 1964. https://doi.org/10.1214/aoms/1177703732
    """
    error = predictions - targets
    clipped = jnp.clip(error, -delta, delta)
    return clipped * (error - 0.5 * clipped)
