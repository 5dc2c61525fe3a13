"""Transforms that change how much memory a loss needs, and no number."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from jloss._core.catalogue import BatchTransform
from jloss._core.catalogue import entry as entry_of
from jloss._core.chunks import Backward
from jloss._core.made import made
from jloss._core.types import HeadLoss, L
from jloss.transforms._chunks import check_schedule, head_logits, in_chunks
from jloss.transforms._compose import (
    Loss,
    apply_inside,
    batch_transform_of,
    entry_unless_batch_transform,
    example_transform,
    loss_entry,
    with_inputs,
)


@made
def chunked(loss: L, chunk_size: int | None = None, backward: Backward = "cached") -> L:
    r"""The same loss, a chunk of examples at a time, for losses that need much memory per example.

    .. math::
        \ell' = \sum_c \sum_{i \in c} w_i \ell_i \Big/ \sum_i w_i

    Value and gradients are those of the loss. The schedules are those of `linear_head`.

    Args:
        loss: Any loss.
        chunk_size: Examples in a chunk, at most; by default there are sixteen chunks.
        backward: ``"cached"`` or ``"recompute"``.

    >>> chunked(huber, chunk_size=2)(jnp.array([0.5, 3.0, 1.0]), jnp.zeros(3), reduction="sum")
    Array(3.125, dtype=float32)

    References:
        Chen, Xu, Zhang, Guestrin, Training Deep Nets with Sublinear Memory Cost, 2016. https://arxiv.org/abs/1604.06174
    """
    check_schedule("chunked", chunk_size, backward)
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        inner, maker = _made_by(loss)
        if maker in (chunked, linear_head):  # already a chunk at a time: in chunks of this size
            return maker(inner, chunk_size, backward)
        return apply_inside(loss, functools.partial(chunked, chunk_size=chunk_size, backward=backward))
    same = example_transform(f"chunked({entry.name})", entry, lambda core, given: core(**given), {}, {}, in_chunks(chunk_size, backward))
    again = functools.partial(chunked, chunk_size=chunk_size, backward=backward)
    same.__jloss__ = entry_of(same)._replace(batch=BatchTransform(loss, again))
    return same


@made
def linear_head(loss: Loss, chunk_size: int | None = None, backward: Backward = "cached") -> HeadLoss:
    r"""A loss of logits becomes a loss of (hidden, kernel, targets), which never holds all logits.

    .. math::
        \ell' = \ell(z, \text{targets}) \qquad z = \text{cap} \tanh\frac{\text{kernel} \cdot \text{hidden} + \text{bias}}{\text{cap}}

    Logits exist for one chunk of tokens at a time, in float32. Value and every gradient equal those of the loss on full
    logits, with its options, `where`, `weights` and reductions; the gradient of a half-precision kernel is summed in float32.

    ``"cached"`` computes the gradients beside the value and keeps those instead of the logits: nothing is computed twice. It takes jit,
    grad (also of a gradient), hessian, vmap, shard_map and any outer factor, but no jvp of its value. ``"recompute"`` computes
    each chunk again in the backward pass, and takes everything; so does ``reduction="none"`` under either.

    On many devices: with tokens sharded, use it under jit as it is; with the kernel's rows sharded over a mesh axis inside
    `jax.shard_map`, name that axis by `class_axis_name`, for losses that have this option (and elementwise ones).

    Args:
        loss: A loss whose first input is logits: over classes, or elementwise. An elementwise loss takes targets
            ``(..., k)``; `where` and `weights` are per token or per token and class, and the mean runs over both.
        chunk_size: Tokens in a chunk, at most, over all devices; by default there are sixteen chunks.
        backward: ``"cached"`` or ``"recompute"``.

    The new loss takes `hidden`, `kernel` (a row per class), the targets, and by keyword `bias`, `soft_cap` and `class_axis_name`.

    >>> hidden, kernel, labels = jnp.ones((4, 2)), jnp.eye(3, 2), jnp.array([0, 1, 2, 0])
    >>> linear_head(cross_entropy, chunk_size=2)(hidden, kernel, labels), cross_entropy(hidden @ kernel.T, labels)
    (Array(1.1119, dtype=float32), Array(1.1119, dtype=float32))

    References:
        Wijmans, Huval, Hertzberg, Koltun, Krähenbühl, Cut Your Losses in Large-Vocabulary Language Models, 2024.
        https://arxiv.org/abs/2411.09009
        Hsu et al., Liger Kernel, 2024. https://arxiv.org/abs/2410.10989
    """
    check_schedule("linear_head", chunk_size, backward)
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        inner, maker = _made_by(loss)
        if maker is linear_head:
            raise TypeError(f"linear_head: needs a loss of logits; {loss_entry(loss).name} has a linear head already.")
        if maker is chunked:  # its chunks are those of the head
            return linear_head(inner, chunk_size, backward)
        return apply_inside(loss, functools.partial(linear_head, chunk_size=chunk_size, backward=backward))
    first, *targets = entry.inputs
    *outer_dims, letter = entry.inputs[first] or ("k",)
    elementwise = not any(entry.inputs.values())
    if entry.domains[first] != "real" or not (elementwise or (entry.inputs[first] and letter.isidentifier())):
        raise TypeError(f"linear_head: needs a loss of logits, such as cross_entropy; {entry.name} takes {first} ({entry.domains[first]}).")
    feature = next(d for d in "dfg" if not any(d in dims for dims in entry.inputs.values()))
    inputs = {"hidden": (*outer_dims, feature), "kernel": (letter, feature)}
    inputs |= {n: (letter,) if elementwise else entry.inputs[n] for n in targets} | {"bias": (letter,)}
    domains = {"hidden": "real", "kernel": "real", **{n: entry.domains[n] for n in targets}, "bias": "real"}
    headed = with_inputs(entry, inputs, domains, optional="bias", axis=False)
    own = {"soft_cap": None} | ({} if "class_axis_name" in entry.options else {"class_axis_name": None})

    def per_class(*, hidden: Array, kernel: Array, bias: Array | None, soft_cap: Array | None, **given: Any) -> Array:
        if elementwise:
            given.pop("class_axis_name")  # nothing but the mean runs over classes
        elif "class_axis_name" not in entry.options and given.pop("class_axis_name") is not None:
            raise TypeError(f"linear_head: {entry.name} has no option `class_axis_name`; its classes cannot be sharded.")
        return entry.core(**{first: head_logits(hidden, kernel, bias, soft_cap)}, **given)

    def per_token(core: Callable[..., Array], given: dict[str, Any], **settings: Any) -> Array:
        value = per_class(**{"bias": None, **given, **settings})
        return jnp.mean(value) if elementwise else value

    evaluate = in_chunks(chunk_size, backward, per_class if elementwise else None, frozenset({"hidden", "kernel"}))
    head = example_transform(f"linear_head({entry.name})", headed, per_token, own, {"soft_cap": "positive"}, evaluate)
    again = functools.partial(linear_head, chunk_size=chunk_size, backward=backward)
    head.__jloss__ = entry_of(head)._replace(batch=BatchTransform(loss, again))
    return head


def _made_by(loss: Loss) -> tuple[Loss, Callable[..., Any]]:
    """The loss inside a transform of batches, and that transform."""
    inner, again, _ = batch_transform_of(loss)
    return inner, again.func  # type: ignore[attr-defined]
