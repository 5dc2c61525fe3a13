"""Classification."""
from typing import Unpack

import jax.numpy as jnp
from jax import Array

from jloss._loss import OverClasses, loss
from jloss._math import logsumexp, pick


@loss("(k),()->()", "real class", label_smoothing="unit", z_loss="nonnegative")
def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0, z_loss: float = 0.0, class_axis_name: str | None = None, **reduce: Unpack[OverClasses]) -> Array:
    """CE."""
    normaliser = logsumexp(logits, axis_name=class_axis_name)
    hit = normaliser - pick(logits, labels, axis_name=class_axis_name)
    return hit
