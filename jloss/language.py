"""Language models: losses of whole sequences, log-probabilities of tokens, and the router of a mixture of experts.

Letters: k classes (the vocabulary), t steps of a sequence, n tokens of a router's batch, e experts, d features. The loss of single
tokens is `cross_entropy`; without ever holding its logits, ``linear_head(cross_entropy)``. `mask` drops steps or tokens,
whatever they hold. Losses that teach a small model with a large one are in `jloss.distillation`.
"""

import functools
from typing import Any, Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._chunk import chunked_map
from jloss._loss import Reduce, entry, loss, place_inputs
from jloss._math import below, log1mexp, log_partition, log_softmax, logsumexp, pick, safe_divide
from jloss._transform import check_schedule, head_logits
from jloss.classification import cross_entropy
from jloss.transforms import linear_head


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
        \ell = \frac{1}{\sum_i m_i} \sum_i m_i \Bigl(-(1 - s) \log p_{i, y_i} - \frac{s}{k} \sum_c \log p_{i, c}\Bigr)

    with mask m, label smoothing s and :math:`p_i = \operatorname{softmax}(\text{logits}_i)`. For a mean in which every *token* counts
    alike use ``cross_entropy(logits, labels, where=mask)``. A masked step has no gradient and may hold anything; a sequence without
    steps is 0.

    Args:
        logits: Unnormalised log-probabilities of each step.
        labels: The class of each step.
        mask: Which steps count; all by default.
        label_smoothing: Share of the target that is spread evenly over all classes.
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
    logits, labels = _masked(logits, mask), _masked(labels, mask)

    def one(logits: Array, labels: Array) -> Array:
        return entry(cross_entropy).core(logits, labels, label_smoothing=label_smoothing, z_loss=z_loss, class_axis_name=class_axis_name)

    total, count = _over(jax.vmap(one)(logits, labels), mask)
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
    logits, labels = _masked(logits, mask), _masked(labels, mask)

    def one(logits: Array, labels: Array) -> Array:
        return -entry(cross_entropy).core(logits, labels, class_axis_name=class_axis_name)

    return _over(jax.vmap(one)(logits, labels), mask)[0]


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
    ties = _sum_over(jnp.sum(is_peak), class_axis_name)
    is_sure = is_peak & (ties == 1)  # the only class whose probability can pass one half
    others = logsumexp(jnp.where(is_sure, -jnp.inf, logits), axis_name=class_axis_name, keepdims=True)
    log_p = jnp.where(is_sure, -1.0, below(logits, peak) - log_total)
    alone = others == -jnp.inf
    complement = jnp.where(alone, jnp.inf, log_total + (peak - jnp.where(alone, 0.0, others)))
    terms = jnp.where(is_sure, complement, -log1mexp(log_p))
    wanted = candidates != 0
    return _sum_over(jnp.sum(jnp.where(wanted, candidates * jnp.where(wanted, terms, 0.0), 0.0)), class_axis_name)


@loss("(n,e),(n)->()", "real mask")
def router_z(logits: Array, mask: Array | None = None, **reduce: Unpack[Reduce]) -> Array:
    r"""Keeps the logits of a router of experts small, so that half precision does not round its choices away.

    .. math:: \ell = \frac{1}{n} \sum_i \Bigl(\log \sum_j e^{\text{logits}_{ij}}\Bigr)^2

    The example is a batch of n tokens. 1e-3 is the usual weight. The gradient pulls all logits of a token together; it does not
    change which expert wins.

    Args:
        logits: The router's, of each token for each expert.
        mask: Which tokens count; all by default.

    >>> router_z(jnp.zeros((5, 4)))
    Array(1.921812, dtype=float32)

    References:
        Zoph et al., ST-MoE: Designing Stable and Transferable Sparse Expert Models, 2022. https://arxiv.org/abs/2202.08906
    """
    total, count = _over(jnp.square(logsumexp(_masked(logits, mask))), mask)
    return safe_divide(total, count)


@loss("(n,e),(n)->()", "real mask")
def load_balancing(
    logits: Array, mask: Array | None = None, *, top_k: int = 1, tokens_axis_name: str | None = None, **reduce: Unpack[Reduce]
) -> Array:
    r"""Spreads tokens evenly over experts: 1 when balanced, e when one expert gets everything.

    .. math::
        \ell = e \sum_j f_j P_j \qquad f_j = \frac{|\{i : j \in \text{top}(i)\}|}{n\, \text{top\_k}}
        \qquad P_j = \frac1n \sum_i p_{ij}

    with :math:`p_i = \operatorname{softmax}(\text{logits}_i)`. The fractions f are counts, without gradient; P carries it. 0.01 is
    the usual weight. With `top_k` above 1 some libraries leave out the division by it (Mixtral in transformers): theirs is
    `top_k` times this.

    Args:
        logits: The router's, of each token for each expert.
        mask: Which tokens count; all by default. Padding that counts drives experts to idle on it.
        top_k: Experts per token.
        tokens_axis_name: Mesh axis over which the tokens are split, inside `jax.shard_map`: fractions are then those of all tokens,
            not the mean of each device's own balance.

    >>> load_balancing(jnp.eye(4)), load_balancing(jnp.array([[9.0, 0.0], [9.0, 0.0]]))
    (Array(1., dtype=float32), Array(1.9997532, dtype=float32))

    References:
        Fedus, Zoph, Shazeer, Switch Transformers, 2021. https://arxiv.org/abs/2101.03961
    """
    experts = logits.shape[-1]
    if not 1 <= top_k <= experts:
        raise ValueError(f"load_balancing: `top_k` must be from 1 to the number of experts, {experts}, got {top_k}.")
    logits = _masked(logits, mask)
    chosen = _top(lax.stop_gradient(logits), top_k).astype(logits.dtype)
    kept = jnp.ones_like(logits[:, 0]) if mask is None else mask.astype(logits.dtype)
    sums = kept @ chosen, kept @ jnp.exp(jax.vmap(log_softmax)(logits)), jnp.sum(kept)
    counts, mass, count = sums if tokens_axis_name is None else lax.psum(sums, tokens_axis_name)
    return experts * jnp.sum(safe_divide(lax.stop_gradient(counts), count * top_k) * safe_divide(mass, count))


@loss("(n,e),(n)->()", "real mask")
def router_entropy(logits: Array, mask: Array | None = None, **reduce: Unpack[Reduce]) -> Array:
    r"""Mean entropy of a router's choices: minimise it for decided tokens, maximise it (a negative weight) to explore.

    .. math:: \ell = -\frac1n \sum_i \sum_j p_{ij} \log p_{ij} \qquad p_i = \operatorname{softmax}(\text{logits}_i)

    It lies between 0 and log e. An expert at -inf is absent and adds nothing. At equal logits the gradient is 0.

    Args:
        logits: The router's, of each token for each expert.
        mask: Which tokens count; all by default.

    >>> router_entropy(jnp.zeros((5, 4)))
    Array(1.38629, dtype=float32)

    References:
        Shazeer et al., Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer, 2017.
        https://arxiv.org/abs/1701.06538
    """
    total, count = _over(jax.vmap(_entropy)(_masked(logits, mask)), mask)
    return safe_divide(total, count)


@functools.partial(jax.jit, static_argnames=("agreement", "class_axis_name", "chunk_size"))
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
        chunk_size: Tokens in a chunk, at most; by default there are sixteen chunks.

    >>> log_p, entropy = token_log_probs(jnp.ones((3, 2)), jnp.zeros((4, 2)), jnp.array([0, 1, 2]))
    >>> log_p, entropy
    (Array([-1.3862944, -1.3862944, -1.3862944], dtype=float32), Array([1.3862944, 1.3862944, 1.3862944], dtype=float32))

    References:
        Schulman et al., Proximal Policy Optimization Algorithms, 2017. https://arxiv.org/abs/1707.06347
    """
    check_schedule("token_log_probs", chunk_size)
    found = _HEAD._replace(name="token_log_probs")
    given = {"hidden": jnp.asarray(hidden), "kernel": jnp.asarray(kernel), "labels": jnp.asarray(labels), "bias": bias}
    levels = len(place_inputs(found, given).batch)
    dtype = jnp.float64 if jnp.asarray(hidden).dtype == jnp.float64 else jnp.float32

    def one(hidden: Array, labels: Array, shared: Any) -> tuple[Array, Array, Array]:
        logits = head_logits(hidden, shared["kernel"], shared["bias"], shared["soft_cap"]) / shared["temperature"]
        log_total, peak = log_partition(logits, axis_name=class_axis_name)
        label_logit = pick(logits, labels, axis_name=class_axis_name)
        log_p = below(label_logit, peak[0]) - log_total[0]
        return log_p, _entropy(logits, class_axis_name), lax.stop_gradient(label_logit) == peak[0]

    def function(rows: Any, shared: Any, where: Array | None) -> Any:
        each = one
        for _ in range(levels):
            each = jax.vmap(each, in_axes=(0, 0, None))
        return each(rows["hidden"], rows["labels"], shared)

    options = {"soft_cap": None if soft_cap is None else jnp.asarray(soft_cap, dtype), "temperature": jnp.asarray(temperature, dtype)}
    rows = {"hidden": given["hidden"], "labels": given["labels"]}
    shared = {"kernel": given["kernel"], "bias": bias, **options}
    results = chunked_map(function, rows, shared, levels=levels, chunk_size=chunk_size)
    return results if agreement else results[:2]


_HEAD = entry(linear_head(cross_entropy))


def _top(logits: Array, count: int) -> Array:
    """Which experts are among the first of each token. By argmax, which stays on the device of its tokens; `lax.top_k` gathers them."""
    left = jnp.maximum(logits, jnp.finfo(logits.dtype).min)
    for _ in range(count):
        first = jnp.arange(logits.shape[1])[None] == jnp.argmax(left, axis=1, keepdims=True)
        left = jnp.where(first, -jnp.inf, left)
    return left == -jnp.inf


def _entropy(logits: Array, axis_name: str | None = None) -> Array:
    """The entropy of a softmax; classes at -inf add nothing."""
    log_total, peak = log_partition(logits, axis_name=axis_name)
    log_odds = below(logits, peak)
    absent = log_odds == -jnp.inf
    gaps = log_total - jnp.where(absent, 0.0, log_odds)
    return _sum_over(jnp.sum(jnp.where(absent, 0.0, jnp.exp(-gaps) * gaps)), axis_name)


def _sum_over(value: Array, axis_name: str | None) -> Array:
    return value if axis_name is None else lax.psum(value, axis_name)


def _masked(values: Array, mask: Array | None) -> Array:
    """Zeros (class 0) in the steps that do not count."""
    return values if mask is None else jnp.where(jnp.expand_dims(mask, range(1, values.ndim)), values, jnp.zeros_like(values))


def _over(values: Array, mask: Array | None) -> tuple[Array, Array]:
    """The sum over the steps that count, and their number."""
    if mask is None:
        return jnp.sum(values), jnp.asarray(values.shape[0]).astype(values.dtype)
    return jnp.sum(jnp.where(mask, values, 0.0)), jnp.sum(mask.astype(values.dtype))
