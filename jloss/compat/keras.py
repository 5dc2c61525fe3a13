"""jloss in a Keras 3 model, on the JAX backend: ``model.compile(loss=jloss.compat.keras.loss(jloss.cross_entropy))``.

Keras passes (y_true, y_pred) and casts labels to the float dtype of the model, which turns label 257 into 256 in bfloat16.
Here labels keep their dtype, a sample weight of 0 removes a sample whatever it holds, and the weighted mean divides by the sum
of the weights.

The mask that Keras carries along with the predictions goes where the loss has a place for it:

==========================================  ==============================================================
the mask covers                             it becomes
==========================================  ==============================================================
axes of the batch (`cross_entropy`          `where`: masked steps are absent
of every step)
axes inside one example, of a loss with     `mask`; an example of which nothing is kept is absent
the input `mask` (`sequence_cross_entropy`,
`dice`)
the steps of a loss with lengths (`ctc`)    the length: kept steps move to the front; an example without
                                            a step is absent
anything else                               an error
==========================================  ==============================================================

A loss with a length of its labels, such as `ctc`, takes labels that are padded with negative numbers at the end; Keras's own CTC
pads with the blank, 0.

As a metric it is the mean of the means of the batches, as any loss of Keras is; over all examples it is
``keras.metrics.MeanMetricWrapper(loss(jloss.huber).call)``, which takes the values.

A compiled model is saved with the name of its loss and the options. To load it in another program, import this module first.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jloss._core.arguments import check_array
from jloss._core.axes import Axes, Dims, batch_shape, spatial
from jloss._core.catalogue import CATALOGUE, Entry
from jloss._core.catalogue import entry as entry_of
from jloss._core.domains import DOMAINS
from jloss._core.signature import axis_roles
from jloss._core.types import readable

try:
    import keras
except ModuleNotFoundError as error:  # of Keras, or of the backend that it is set to
    keras, _missing = None, error.name

REDUCTIONS = {"mean": "mean_with_sample_weight", "sum": "sum", "none": None}  # in Keras's words


@readable
def loss(function: Callable[..., Any], **options: Any) -> Any:
    """A `keras.losses.Loss` that calls a jloss loss: ``model.compile(loss=loss(jloss.huber, delta=2.0))``.

    It pickles, and a model compiled with it can be saved and loaded, if the loss is one of jloss's own.

    Args:
        function: A jloss loss of two inputs, (predictions, targets) or (logits, labels); or your own, written with `jloss.loss`.
        **options: Its options, and `axis` or `reduction` where wanted.

    Raises:
        ImportError: If Keras is not installed, with the command that installs it.
        ValueError: If the loss does not take predictions and targets alone, or Keras does not run on JAX.
    """
    return JLoss(function, options)


class JLoss(keras.losses.Loss if keras else object):  # type: ignore[misc]
    """What `loss` returns."""

    def __init__(self, function: Any, options: dict[str, Any], name: str | None = None) -> None:
        if keras is None:
            remedy = "get it with: pip install keras" if _missing == "keras" else "set KERAS_BACKEND=jax before importing keras."
            raise ImportError(f"{_missing} is not installed; {remedy}")
        if isinstance(function, str):
            raise TypeError(f"jloss.compat.keras.loss: give jloss.{function} itself, not its name.")
        while isinstance(function, functools.partial) and not function.args:
            function, options = function.func, {**function.keywords, **options}
        entry = entry_of(function)
        if entry.kind == "stateful":
            raise ValueError(f"{entry.name} keeps a state; a Keras loss cannot.")
        needed = [n for n in entry.inputs if inspect.signature(entry.core).parameters[n].default is inspect.Parameter.empty]
        if len(needed) != 2 or entry.domains[needed[1]] == "key":  # Keras has no random key to give
            raise ValueError(f"{entry.name} takes the inputs {', '.join(needed)}; a Keras loss has two, predictions and targets.")
        if keras.backend.backend() != "jax":
            raise ValueError(
                f"jloss runs on Keras's JAX backend, not on {keras.backend.backend()}; set KERAS_BACKEND=jax before importing keras."
            )
        reduction = options.get("reduction", "mean")
        if reduction not in [*REDUCTIONS]:  # a list has no hash
            raise ValueError(f"{entry.name}: `reduction` must be one of {', '.join(REDUCTIONS)} in a Keras model, got {reduction!r}.")
        super().__init__(name=name or entry.name, reduction=REDUCTIONS[reduction])
        self.function, self.options = function, options

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return self._evaluate(y_true, y_pred, sample_weight, _keras_mask(y_pred), **self.options)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._evaluate(y_true, y_pred, None, None, **self.options | {"reduction": "none"})

    def _evaluate(self, y_true: Any, y_pred: Any, sample_weight: Any, mask: Any, **options: Any) -> Any:
        entry = entry_of(self.function)
        predictions = jnp.asarray(_array(entry, entry.required[0], y_pred))
        at = _axes(entry, predictions, options)
        targets = _targets(entry, _array(entry, entry.required[1], y_true), predictions, at)
        given: dict[str, Any] = _label_length(entry, targets)
        if sample_weight is not None:
            given["weights"] = _weights(entry, _array(entry, "sample_weight", sample_weight), predictions, at)
        if mask is not None:
            predictions, masks = _masked(entry, predictions, jnp.asarray(mask, bool), at)
            given |= masks
        if twice := given.keys() & options.keys():
            raise TypeError(f"{entry.name}: `{min(twice)}` is an option of this loss and comes from Keras, too.")
        return entry.public(predictions, targets, **given, **options)  # of `weighted_sum`, this is the total alone

    def get_config(self) -> dict[str, Any]:
        entry = entry_of(self.function)
        if entry.name not in CATALOGUE or CATALOGUE[entry.name].public is not self.function:
            raise ValueError(
                f"{entry.name} cannot be saved within a Keras model, as it cannot be found again by its name among jloss's losses. "
                "Save the weights, model.save_weights(path), or the model before compile(), and compile it after loading."
            )
        options = {n: np.asarray(v) if isinstance(v, Array) else v for n, v in self.options.items()}  # HDF5 takes no arrays of JAX
        return {"loss": entry.name, "options": options, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "JLoss":
        name = config["loss"]
        if name not in CATALOGUE:
            raise ValueError(f"the model was compiled with jloss.{name}, which this version of jloss does not have.")
        options = keras.saving.deserialize_keras_object(config["options"])
        return cls(CATALOGUE[name].public, {n: _tuples(v) for n, v in options.items()}, config["name"])


if keras:
    keras.saving.register_keras_serializable(package="jloss")(JLoss)


def _tuples(value: Any) -> Any:
    """The value with tuples for lists, which JSON makes of them."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _array(entry: Entry, argument: str, value: Any) -> Any:
    """An array; of NumPy where it is none of JAX, as integers of 64 bits lose half of theirs in one of JAX."""
    if hasattr(value, "__array__") and not isinstance(value, np.ndarray | np.generic | Array) and not hasattr(value, "__jax_array__"):
        value = np.asarray(value)  # of pandas, torch or TensorFlow, which Keras takes
    check_array(entry.name, argument, value, Array)
    if not isinstance(value, np.ndarray | np.generic | list | tuple | int | float):
        return jnp.asarray(value)
    try:
        array = np.asarray(value)
    except ValueError as error:  # of ragged rows
        raise ValueError(f"{entry.name}: `{argument}` is a list that makes no array: {error}") from None
    check_array(entry.name, argument, array)
    return array.astype(array.dtype.newbyteorder("="))


def _keras_mask(y_pred: Any) -> Any:
    """Keras's mask of an array: an attribute or, as tracers take none, an entry of its own table."""
    from keras.src import backend

    find = getattr(backend, "get_keras_mask", None)
    return getattr(y_pred, "_keras_mask", None) if find is None else find(y_pred)


class _Axes:
    """Where the axes of the predictions lie."""

    def __init__(self, place: Axes, letters: Dims, shape: tuple[int, ...], class_axis: int | None, spatial_ndim: int) -> None:
        self.place, self.shape, self.class_axis, self.spatial_ndim = place, shape, class_axis, spatial_ndim
        self.core = dict(zip(letters, place.core, strict=True))  # {"s0": 1, "s1": 2}

    @property
    def batch(self) -> tuple[int, ...]:
        """One axis per level of the batch."""
        return tuple(axis for axis in self.place.batch if axis is not None)

    def sizes(self, axes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.shape[axis] for axis in axes)


def _axes(entry: Entry, predictions: Array, options: dict[str, Any]) -> _Axes:
    shown = inspect.signature(entry.public).parameters
    axis = options.get("axis", shown["axis"].default) if "axis" in entry.keywords else None
    first, dims = next(iter(entry.inputs.items()))
    role = axis_roles(entry).get(first, "") if axis is not None else ""
    spatial_ndim = options.get("spatial_ndim", entry.spatial_ndim)
    letters = spatial(dims, spatial_ndim)
    _, places = batch_shape(entry.name, {first: letters}, {first: predictions}, axis, {first: role} if role else {})
    class_axis = axis % predictions.ndim if axis is not None and role else None
    return _Axes(places[first], letters, predictions.shape, class_axis, spatial_ndim)


def _targets(entry: Entry, y_true: Any, predictions: Array, at: _Axes) -> Any:
    """Targets in the shape and dtype that the loss wants: Keras adds an axis of 1 to labels, or removes it.

    Integers stay integers where numbers are wanted: the loss widens them, and as half-precision numbers 257 would be 256.
    """
    first, target = list(entry.inputs)[:2]
    kind = DOMAINS[entry.domains[target]].kind
    wanted: tuple[int, ...] | None = None
    letters = spatial(entry.inputs[target], at.spatial_ndim)
    if letters == tuple(at.core):
        wanted = predictions.shape
    elif set(letters) <= at.core.keys() - {"k"}:
        wanted = at.sizes((*at.batch, *(at.core[letter] for letter in letters)))
    if kind != "any" and wanted is not None and y_true.shape != wanted:
        if [n for n in y_true.shape if n != 1] != [n for n in wanted if n != 1]:
            raise ValueError(
                f"{entry.name}: `{target}` must have the shape {wanted}, but for axes of 1, where `{first}` has {predictions.shape}; "
                f"got {y_true.shape}.{_remedy(entry, target, y_true, predictions)}"
            )
        y_true = y_true.reshape(wanted)
    if kind != "integer" or jnp.issubdtype(y_true.dtype, jnp.integer):
        return y_true
    if y_true.dtype == jnp.bool_:
        return y_true.astype(jnp.int32)
    if entry.domains[target] == "group":
        return _bits(y_true)
    whole = jnp.round(y_true)
    return jnp.where(y_true == whole, whole, -1).astype(jnp.int32)  # what is no whole number, NaN above all, is no class


def _remedy(entry: Entry, target: str, y_true: Any, predictions: Array) -> str:
    """What the caller probably wanted, where shapes and dtypes give it away; else nothing."""
    if not jnp.issubdtype(predictions.dtype, jnp.inexact):
        return " Keras gives (y_true, y_pred): are they exchanged?"
    kind, of_classes = DOMAINS[entry.domains[target]].kind, "k" in entry.inputs[target]
    if kind == "integer" and y_true.shape == predictions.shape:
        return " Labels are class indices: of one-hot rows, labels.argmax(-1); for probabilities see soft_cross_entropy."
    if kind != "integer" and of_classes and y_true.ndim < predictions.ndim and jnp.issubdtype(y_true.dtype, jnp.integer):
        return f" Of class indices: keras.ops.one_hot(labels, {predictions.shape[-1]})."
    return ""


def _bits(labels: Any) -> Any:
    """Integers that are equal where the labels are, which may be no whole numbers, and too large for one."""
    labels = labels + labels.dtype.type(0)  # or 0 and -0 differ
    integer = jnp.dtype(f"int{8 * labels.dtype.itemsize}")
    return labels.view(integer) if isinstance(labels, np.ndarray) else jax.lax.bitcast_convert_type(labels, integer)


def _label_length(entry: Entry, labels: Any) -> dict[str, Array]:
    """The length of labels that negative numbers at the end pad, if the loss asks for it."""
    _, target, *more = entry.inputs
    lengths = [n for n in more if entry.domains[n] == "length"]
    if len(lengths) < 2 or DOMAINS[entry.domains[target]].kind != "integer":
        return {}
    return {lengths[1]: jnp.sum(labels >= 0, axis=-1, dtype=jnp.int32)}  # with a negative one in front of the end, that is among them


def _weights(entry: Entry, weights: Any, predictions: Array, at: _Axes) -> Any:
    """One per example: Keras's weights lack axes at the end, or have axes of 1 there."""
    wanted = at.sizes(at.batch)
    while weights.ndim > len(wanted) and weights.shape[-1] == 1:
        weights = weights[..., 0]
    if weights.ndim > len(wanted) or any(n not in (1, size) for n, size in zip(weights.shape, wanted, strict=False)):
        raise ValueError(
            f"{entry.name}: `sample_weight` must have one value per example, {wanted} for predictions of shape {predictions.shape}, "
            f"or lack axes at the end; got {weights.shape}."
        )
    broadcast: Any = np.broadcast_to if isinstance(weights, np.ndarray) else jnp.broadcast_to
    return broadcast(weights.reshape(weights.shape + (1,) * (len(wanted) - weights.ndim)), wanted)


def _masked(entry: Entry, predictions: Array, mask: Array, at: _Axes) -> tuple[Array, dict[str, Array]]:
    """Predictions, and the arguments that a mask of their first axes becomes; a class axis is not among those."""
    axes = tuple(axis for axis in range(predictions.ndim) if axis != at.class_axis)[: mask.ndim]
    inside = [n for n in list(entry.inputs)[2:] if entry.domains[n] == "mask"]
    lengths = [n for n in list(entry.inputs)[2:] if entry.domains[n] == "length"]
    if mask.shape == at.sizes(axes):
        if set(axes) <= set(at.batch):
            return predictions, {"where": _spread(mask, axes, at.batch, at)}
        batch = tuple(axis for axis in at.batch if axis != at.class_axis)
        if inside:
            letters = spatial(entry.inputs[inside[0]], at.spatial_ndim)
            full = (*batch, *(at.core[letter] for letter in letters))
            if set(axes) <= set(full):
                mask = _spread(mask, axes, full, at)
                kept = jnp.any(mask, axis=tuple(range(len(batch), mask.ndim)))
                return predictions, {inside[0]: mask, "where": _spread(kept, batch, at.batch, at)}
        steps, *_ = at.core
        if lengths and axes == (*batch, at.core[steps]) and steps not in list(entry.inputs.values())[1]:
            moved, count = _in_front(predictions, mask)
            return moved, {lengths[0]: count, "where": count > 0}
    raise ValueError(
        f"{entry.name}: has no place for a Keras mask of shape {mask.shape} on predictions of shape {predictions.shape}. End the mask in a "
        "layer in front of the loss, or take a loss of single steps."
    )


def _spread(mask: Array, axes: tuple[int, ...], onto: tuple[int, ...], at: _Axes) -> Array:
    """A mask of some axes as one of `onto`, in that order."""
    whole = mask.reshape([at.shape[axis] if axis in axes else 1 for axis in range(len(at.shape))])
    dropped = tuple(axis for axis in range(len(at.shape)) if axis not in onto)
    ordered = jnp.squeeze(whole, dropped).transpose(list(np.argsort(np.argsort(onto))))
    return jnp.broadcast_to(ordered, at.sizes(onto))


def _in_front(predictions: Array, mask: Array) -> tuple[Array, Array]:
    """The kept steps of each example in front of the others, in their order, and their number."""

    def one(rows: Array, order: Array) -> Array:
        return rows.at[order].get(mode="promise_in_bounds", unique_indices=True)

    for _ in range(mask.ndim - 1):
        one = jax.vmap(one)
    return one(predictions, jnp.argsort(~mask, axis=-1, stable=True)), jnp.sum(mask, axis=-1, dtype=jnp.int32)
