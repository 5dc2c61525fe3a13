"""Transforms that change how much memory a loss needs, and no number."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from jloss._core.arguments import check_static
from jloss._core.backend import as_primitives
from jloss._core.catalogue import BatchTransform
from jloss._core.catalogue import entry as entry_of
from jloss._core.chunks import Backward
from jloss._core.log_probs import log_probs_of
from jloss._core.loss import at_the_door, door_of
from jloss._core.made import made
from jloss._core.types import HeadLoss, L
from jloss.transforms._chunks import check_schedule, in_chunks
from jloss.transforms._compose import (
    Loss,
    apply_inside,
    batch_transform_of,
    entry_unless_batch_transform,
    example_transform,
    loss_entry,
    with_inputs,
)
from jloss.transforms._heads import before_heads, document_heads, fed, heads_of, in_chunks_of_tokens, inputs_of


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
        inner, maker = batch_transform_of(loss)
        if maker.func in (chunked, linear_head):  # already a chunk at a time: in chunks of this size
            return functools.partial(maker, chunk_size=chunk_size, backward=backward)(inner)
        return apply_inside(loss, functools.partial(chunked, chunk_size=chunk_size, backward=backward))
    same = example_transform(f"chunked({entry.name})", entry, lambda core, given: core(**given), {}, {}, in_chunks(chunk_size, backward))
    again = functools.partial(chunked, chunk_size=chunk_size, backward=backward)
    same.__jloss__ = entry_of(same)._replace(batch=BatchTransform(loss, again))
    return same


@made
def linear_head(loss: Loss, chunk_size: int | None = None, backward: Backward = "cached", *, teacher: bool = False) -> HeadLoss:
    r"""A loss of logits becomes a loss of (hidden, kernel, targets), which never holds all logits.

    .. math::
        \ell' = \ell(z, \text{targets}) \qquad z = \text{cap} \tanh\frac{\text{kernel} \cdot \text{hidden} + \text{bias}}{\text{cap}}

    Logits exist for one chunk of tokens at a time, in float32. Value and every gradient equal those of the loss on full
    logits, with its options, `where`, `weights` and reductions; the gradient of a half-precision kernel is summed in float32.

    ``"cached"`` computes the gradients beside the value and keeps those instead of the logits: nothing is computed twice. It takes jit,
    grad (also of a gradient), hessian, vmap, shard_map and any outer factor, but no jvp of its value. ``"recompute"`` computes
    each chunk again in the backward pass, and takes everything; so does ``reduction="none"`` under either.

    A loss of two models takes the logits of the second as they are, or with ``teacher=True`` its hidden states and kernel, whose logits are
    then never held either; the second model has no gradient. A loss of log-probabilities takes labels and hidden states instead. If those
    are of whole sequences, ``steps="sum"`` or ``"mean"`` says what is taken over the tokens that the mask keeps, and a sequence longer
    than a chunk is computed in parts, each again in the backward pass.

    On many devices: with tokens sharded, use it under jit as it is; with the kernel's rows sharded over a mesh axis inside
    `jax.shard_map`, name that axis by `class_axis_name`, for losses that have this option (and elementwise ones).

    Args:
        loss: A loss whose first input is logits: over classes, or elementwise. An elementwise loss takes targets
            ``(..., k)``; `where` and `weights` are per token or per token and class, and the mean runs over both.
            Or a loss of log-probabilities of tokens or sequences, such as those of preferences and policies.
        chunk_size: Tokens in a chunk, at most, over all devices; by default there are sixteen chunks, or fewer of 512 tokens (of as
            many as there are features, if those are less; shared by all heads; 64 at least). A loss of sequences of logits has at
            least one sequence in a chunk.
        backward: ``"cached"`` or ``"recompute"``.
        teacher: Whether the second model (`teacher_logits`, the log-probabilities of a reference policy) has a head, too.

    The new loss takes `hidden`, `kernel` (with `teacher` also `teacher_hidden`, `teacher_kernel`), the targets, and by keyword `bias`,
    `soft_cap` and `class_axis_name`. A kernel has a row per class: tied embeddings go in as they are; of a Flax `Dense` or `Linear` give
    ``kernel.T``. A `bias` of -inf takes out a row that only fills up the vocabulary; under a soft cap it does not, as no logit is then
    below ``-soft_cap``: cut such rows off. Of a logit beyond 8 caps the gradient, less than 5e-7 of what it was, is rounding in float32.

    >>> hidden, kernel, labels = jnp.ones((4, 2)), jnp.eye(3, 2), jnp.array([0, 1, 2, 0])
    >>> linear_head(cross_entropy, chunk_size=2)(hidden, kernel, labels), cross_entropy(hidden @ kernel.T, labels)
    (Array(1.112, dtype=float32), Array(1.112, dtype=float32))
    >>> linear_head(distillation, teacher=True)(hidden, kernel, 2 * hidden, kernel), distillation(hidden @ kernel.T, 2 * hidden @ kernel.T)
    (Array(0.03999219, dtype=float32), Array(0.03999219, dtype=float32))

    References:
        Wijmans, Huval, Hertzberg, Koltun, Krähenbühl, Cut Your Losses in Large-Vocabulary Language Models, 2024.
        https://arxiv.org/abs/2411.09009
        Hsu et al., Liger Kernel, 2024. https://arxiv.org/abs/2410.10989
    """
    check_schedule("linear_head", chunk_size, backward)
    check_static("linear_head", "teacher", teacher, bool)
    again = functools.partial(linear_head, chunk_size=chunk_size, backward=backward, teacher=teacher)
    entry = entry_unless_batch_transform(loss)
    if entry is None:
        inner, maker = batch_transform_of(loss)
        if maker.func is linear_head:
            raise TypeError(f"linear_head: needs a loss of logits; {loss_entry(loss).name} has a linear head already.")
        return again(inner) if maker.func is chunked else apply_inside(loss, again)  # its chunks are those of the head
    heads = heads_of(entry, teacher)
    takes, facts = inputs_of(entry, heads), log_probs_of(entry.core)
    headed = with_inputs(entry, takes.inputs, takes.domains, takes.optional, axis=False)._replace(constants=takes.constants)
    headed.core.__doc__ = document_heads(entry, heads)
    door = door_of(entry.core)
    if door is not None:
        at_the_door(lambda name, given: door(name, {**given, **before_heads(heads, given)}))(headed.core)
    elementwise = entry.elementwise and facts is None
    own: dict[str, Any] = {head.soft_cap: None for head in heads} | (
        {} if "class_axis_name" in entry.options else {"class_axis_name": None}
    )
    own |= {"steps": facts.steps} if facts is not None and facts.steps is not None else {}
    of_heads = own.keys() | takes.inputs.keys() - entry.inputs.keys() | {"held"}

    def per_class(**given: Any) -> Array:
        axis_name = given["class_axis_name"]
        if axis_name is not None and not elementwise and facts is None and "class_axis_name" not in entry.options:
            raise TypeError(f"linear_head: {entry.name} has no option `class_axis_name`; its classes cannot be sharded.")
        made = dict(fed(heads, given, given["steps"] if "steps" in own else None, axis_name, given.get("held")))
        with as_primitives(entry):
            return entry.core(**made, **{n: value for n, value in given.items() if n not in of_heads})

    def per_token(core: Callable[..., Array], given: dict[str, Any], **settings: Any) -> Array:
        value = per_class(**{**dict.fromkeys(takes.optional), **given, **settings})
        return jnp.mean(value) if elementwise else value

    narrow = frozenset(name for head in heads for name in (head.hidden, head.kernel))
    each = in_chunks(chunk_size, backward, None, narrow) if facts is None else in_chunks_of_tokens(chunk_size, backward, narrow, heads)
    evaluate = in_chunks(chunk_size, backward, per_class, narrow) if elementwise else each
    head = example_transform(
        f"linear_head({entry.name})", headed, per_token, own, {name: "positive" for name in own if "cap" in name}, evaluate
    )
    head.__jloss__ = entry_of(head)._replace(batch=BatchTransform(loss, again, evaluate=each))
    return head
