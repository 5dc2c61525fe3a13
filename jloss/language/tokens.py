"""Language models: losses of whole sequences, and log-probabilities of tokens.

Letters: k classes (the vocabulary), t steps of a sequence, d features. The loss of single tokens is `cross_entropy`; without ever
holding its logits, ``linear_head(cross_entropy)``. `mask` drops steps, whatever they hold. Losses that teach a small model with a
large one are in `jloss.classification.teachers`.
"""

from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.catalogue import entry as entry_of
from jloss._core.chunks import chunked_map
from jloss._core.domains import arithmetic_dtype
from jloss._core.functions import compiled
from jloss._core.loss import batch_of, loss
from jloss._core.signature import Reduce
from jloss.classification.entropy import cross_entropy
from jloss.language._steps import masked_steps, over_steps, sum_over
from jloss.numerics import below, log1mexp, log_partition, logsumexp, pick, safe_divide
from jloss.numerics._special import softmax_entropy
from jloss.transforms._chunks import check_schedule
from jloss.transforms._heads import head_logits
from jloss.transforms.memory import linear_head


@loss("(t,k),(t),(t)->()", "real class mask", label_smoothing="unit", z_loss="nonnegative")
def sequence_cross_entropy(
    logits: Array,
    labels: Array,
    mask: Array | None = None,
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    steps: Literal["mean", "sum"] = "mean",
    class_axis_name: str | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Cross entropy of a sequence, label-smoothed if wanted: every sequence counts alike, however long it is.

    .. math::
        \ell = \frac{1}{\sum_i m_i} \sum_i m_i \Bigl(-(1 - s) \log p_{i, y_i} - \frac{s}{k} \sum_c \log p_{i, c}
        + w \bigl(\log \sum_c e^{z_{i, c}}\bigr)^2\Bigr) \qquad p_i = \operatorname{softmax}(z_i)

    with logits z, mask m, `label_smoothing` s and `z_loss` w; ``steps="sum"`` leaves out the division. For a mean in which every
    *token* counts alike use ``cross_entropy(logits, labels, where=mask)``. A masked step has no gradient and may hold anything; a
    sequence without steps is 0.

    Args:
        logits: Unnormalised log-probabilities of each step.
        labels: The class of each step.
        mask: Which steps count; all by default.
        label_smoothing: Part of the target's probability that is given to all classes alike.
        z_loss: Weight of the squared log-partition of each step.
        steps: ``"mean"`` over the steps of a sequence, or ``"sum"``, its negative log-likelihood.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> logits, labels = jnp.zeros((2, 3, 4)), jnp.zeros((2, 3), int)
    >>> mask = jnp.array([[True, True, True], [True, False, False]])
    >>> sequence_cross_entropy(logits, labels, mask, steps="sum", reduction="none")
    Array([4.158883 , 1.3862944], dtype=float32)

    References:
        Sutskever, Vinyals, Le, Sequence to Sequence Learning with Neural Networks, 2014. https://arxiv.org/abs/1409.3215
        Szegedy et al., Rethinking the Inception Architecture (label smoothing), 2016. https://arxiv.org/abs/1512.00567
    """
    logits, labels = masked_steps(logits, mask), masked_steps(labels, mask)

    def one(logits: Array, labels: Array) -> Array:
        return entry_of(cross_entropy).core(logits, labels, label_smoothing=label_smoothing, z_loss=z_loss, class_axis_name=class_axis_name)

    total, count = over_steps(jax.vmap(one)(logits, labels), mask)
    return total if steps == "sum" else safe_divide(total, count)


@loss("(t,k),(t),(t)->()", "real class mask")
def sequence_log_prob(
    logits: Array, labels: Array, mask: Array | None = None, *, class_axis_name: str | None = None, **reduce: Unpack[Reduce]
) -> Array:
    r"""Log-probability of a sequence, the sum of those of its tokens: what preference losses compare. It is a reward: maximise it.

    .. math:: \ell = \sum_i m_i \log p_{i, y_i} \qquad p_i = \operatorname{softmax}(\text{logits}_i)

    with mask m. It is at most 0, and minus ``sequence_cross_entropy(..., steps="sum")``. Longer sequences are less probable; where
    that should not matter, divide by the number of tokens.

    Args:
        logits: Unnormalised log-probabilities of each step.
        labels: The token of each step.
        mask: Which steps count (the completion, not the prompt); all by default.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> sequence_log_prob(jnp.zeros((3, 4)), jnp.array([0, 1, 2]), jnp.array([True, True, False]))
    Array(-2.7725887, dtype=float32)

    References:
        Rafailov et al., Direct Preference Optimization, 2023. https://arxiv.org/abs/2305.18290
    """
    logits, labels = masked_steps(logits, mask), masked_steps(labels, mask)

    def one(logits: Array, labels: Array) -> Array:
        return -entry_of(cross_entropy).core(logits, labels, class_axis_name=class_axis_name)

    return over_steps(jax.vmap(one)(logits, labels), mask)[0]


@loss("(k),(k)->()", "real multi_hot")
def unlikelihood(logits: Array, candidates: Array, *, class_axis_name: str | None = None, **reduce: Unpack[Reduce]) -> Array:
    r"""Pushes the probability of unwanted tokens down: repetitions, tokens of the context, contradictions.

    .. math:: \ell = -\sum_c \text{candidates}_c \log(1 - p_c) \qquad p = \operatorname{softmax}(\text{logits})

    The gradient is finite and exact also for a candidate of probability 1 to rounding: its complement is summed over the others, so
    that a gap of 1e4 between logits costs 1e4, where a clamp at 1e-5 has gradient 0. If no other class is there it is inf.

    Args:
        logits: Unnormalised log-probabilities.
        candidates: The unwanted tokens, multi-hot; numbers in between are weights.
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.

    >>> unlikelihood(jnp.array([2.0, 0.0, 0.0]), jnp.array([1, 0, 0]))
    Array(1.5464, dtype=float32)

    References:
        Welleck et al., Neural Text Generation with Unlikelihood Training, 2020. https://arxiv.org/abs/1908.04319
    """
    log_total, peak = log_partition(logits, axis_name=class_axis_name)
    is_peak = logits == peak
    ties = sum_over(jnp.sum(is_peak), class_axis_name)
    is_sure = is_peak & (ties == 1)  # the only class whose probability can pass one half
    others = logsumexp(jnp.where(is_sure, -jnp.inf, logits), axis_name=class_axis_name, keepdims=True)
    log_p = jnp.where(is_sure, -1.0, below(logits, peak) - log_total)
    alone = others == -jnp.inf
    complement = jnp.where(alone, jnp.inf, log_total + (peak - jnp.where(alone, 0.0, others)))
    terms = jnp.where(is_sure, complement, -log1mexp(log_p))
    wanted = candidates != 0
    return sum_over(jnp.sum(jnp.where(wanted, candidates * jnp.where(wanted, terms, 0.0), 0.0)), class_axis_name)


@compiled("agreement", "class_axis_name", "chunk_size")
def token_log_probs(
    hidden: Array,
    kernel: Array,
    labels: Array,
    *,
    bias: Array | None = None,
    soft_cap: float | Array | None = None,
    temperature: float | Array = 1.0,
    agreement: bool = False,
    class_axis_name: str | None = None,
    chunk_size: int | None = None,
) -> tuple[Array, ...]:
    r"""Log-probability of each token, and the entropy of its distribution, without holding the logits of all tokens.

    .. math:: \log p_y, \quad -\sum_c p_c \log p_c \qquad p = \operatorname{softmax}(\text{logits} / \text{temperature})

    with logits as in `linear_head`. What policy gradients, preference losses and perplexities are made of. Both have exact
    gradients (in any mode); chunks of tokens are computed again in the backward pass. A label out of range is NaN.

    Args:
        hidden: Features of each token, ``(..., d)``.
        kernel: A row per class, ``(k, d)``.
        labels: The token, ``(...)``.
        bias: One per class.
        soft_cap: Limit of the logits, ``soft_cap * tanh(logits / soft_cap)``.
        temperature: Divides the logits.
        agreement: Whether to return, third, if the token is the most probable one (for free, in the same pass).
        class_axis_name: Mesh axis over which the classes are split, inside `jax.shard_map`.
        chunk_size: Tokens in a chunk, at most; by default as in `linear_head`.

    >>> log_p, entropy = token_log_probs(jnp.ones((3, 2)), jnp.zeros((4, 2)), jnp.array([0, 1, 2]))
    >>> log_p, entropy
    (Array([-1.3862944, -1.3862944, -1.3862944], dtype=float32), Array([1.3862944, 1.3862944, 1.3862944], dtype=float32))

    References:
        Schulman et al., Proximal Policy Optimization Algorithms, 2017. https://arxiv.org/abs/1707.06347
    """
    check_schedule("token_log_probs", chunk_size)
    entry = _HEAD._replace(name="token_log_probs")
    given = {"hidden": jnp.asarray(hidden), "kernel": jnp.asarray(kernel), "labels": jnp.asarray(labels), "bias": bias}
    levels = len(batch_of(entry, given).shape)
    dtype = arithmetic_dtype(given)
    if dtype == jnp.float64:  # else what is in half precision stays so until it is multiplied
        given = {n: x if n == "labels" or x is None else jnp.asarray(x).astype(dtype) for n, x in given.items()}

    def one(hidden: Array, labels: Array, shared: Any) -> tuple[Array, Array, Array]:
        logits = head_logits(hidden, shared["kernel"], shared["bias"], shared["soft_cap"]) / shared["temperature"]
        log_total, peak = log_partition(logits, axis_name=class_axis_name)
        label_logit = pick(logits, labels, axis_name=class_axis_name)
        log_p = below(label_logit, peak[0]) - log_total[0]
        return log_p, softmax_entropy(logits, class_axis_name), lax.stop_gradient(label_logit) == peak[0]

    def function(rows: Any, shared: Any, where: Array | None) -> Any:
        each = one
        for _ in range(levels):
            each = jax.vmap(each, in_axes=(0, 0, None))
        return each(rows["hidden"], rows["labels"], shared)

    options = {"soft_cap": None if soft_cap is None else jnp.asarray(soft_cap, dtype), "temperature": jnp.asarray(temperature, dtype)}
    rows = {"hidden": given["hidden"], "labels": given["labels"]}
    shared = {"kernel": given["kernel"], "bias": given["bias"], **options}
    results = chunked_map(function, rows, shared, levels=levels, chunk_size=chunk_size)
    return results if agreement else results[:2]


_HEAD = entry_of(linear_head(cross_entropy))
