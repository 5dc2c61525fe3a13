"""jloss in a Keras 3 model, on the JAX backend: ``model.compile(loss=jloss.compat.keras.loss(jloss.cross_entropy))``.

Keras passes (y_true, y_pred) and casts labels to the float dtype of the model, which turns label 257 into 256 in bfloat16.
Here labels keep their dtype, a sample weight of 0 removes a sample whatever it holds, and the weighted mean divides by the sum
of the weights.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jloss._loss import entry
from jloss._shapes import DOMAINS


def loss(function: Callable[..., Any], **options: Any) -> Any:
    """A `keras.losses.Loss` that calls a jloss loss.

    Args:
        function: A jloss loss of two inputs, (predictions, targets) or (logits, labels); or your own, written with `jloss.loss`.
        **options: Its options, and `axis` or `reduction` where wanted.

    Raises:
        ImportError: If Keras is not installed, with the command that installs it.
        ValueError: If the loss does not take two inputs, or Keras does not run on JAX.
    """
    try:
        import keras
    except ModuleNotFoundError:
        raise ImportError("keras is not installed; get it with: pip install keras") from None
    found = entry(function)
    needed = [n for n in found.inputs if inspect.signature(found.core).parameters[n].default is inspect.Parameter.empty]
    if len(needed) != 2:
        raise ValueError(f"{found.name} takes the inputs {', '.join(needed)}; a Keras loss has two, predictions and targets.")
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"jloss runs on Keras's JAX backend, not on {keras.backend.backend()}; set KERAS_BACKEND=jax before importing keras."
        )
    target = list(found.inputs)[1]

    class JLoss(keras.losses.Loss):
        def __init__(self) -> None:
            super().__init__(name=found.name)

        def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            predictions, targets = jnp.asarray(y_pred), _targets(jnp.asarray(y_true), jnp.asarray(y_pred))
            weights = None
            if sample_weight is not None:
                values = _batch_shape(found, predictions, options.get("axis", -1))
                given = jnp.asarray(sample_weight)
                weights = jnp.broadcast_to(given.reshape(given.shape[: len(values)] + (1,) * (len(values) - given.ndim)), values)
            mask = getattr(y_pred, "_keras_mask", None)
            return function(predictions, targets, weights=weights, where=None if mask is None else jnp.asarray(mask, bool), **options)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return function(jnp.asarray(y_pred), _targets(jnp.asarray(y_true), jnp.asarray(y_pred)), reduction="none", **options)

    def _targets(y_true: Any, y_pred: Any) -> Any:
        """Targets in the shape and dtype that the loss wants: Keras adds an axis of 1 to labels, or removes it."""
        wanted = y_pred.shape if found.inputs[target] else _batch_shape(found, y_pred, options.get("axis", -1))
        if y_true.shape != wanted and y_true.size == _size(wanted):
            y_true = y_true.reshape(wanted)
        if DOMAINS[found.domains[target]].kind == "integer" and not jnp.issubdtype(y_true.dtype, jnp.integer):
            return jnp.round(y_true).astype(jnp.int32)
        if DOMAINS[found.domains[target]].kind == "float" and not jnp.issubdtype(y_true.dtype, jnp.floating):
            return y_true.astype(y_pred.dtype)
        return y_true

    return JLoss()


def _batch_shape(found: Any, predictions: Any, axis: int) -> tuple[int, ...]:
    """The axes of the predictions that are not core axes."""
    core = len(next(iter(found.inputs.values())))
    shape = list(predictions.shape)
    if core == 1 and "axis" in found.keywords:
        del shape[axis]
        return tuple(shape)
    return tuple(shape[: len(shape) - core])


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
