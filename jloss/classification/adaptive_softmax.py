r"""Cross entropy over a large vocabulary at a fraction of its cost: frequent classes first, rare ones in cheap clusters.

The classes are sorted by frequency, the most frequent first. The head holds the first ``cutoffs[0]`` classes and one entry per
cluster; cluster i holds the classes from ``cutoffs[i]`` to the next cutoff, behind a projection to ``features / div_value**(i + 1)``
dimensions. The parameters are a pytree of kernels; gradients with respect to them come from `jax.grad` as for any other layer.
For a dense vocabulary matrix without the memory of its logits see `jloss.linear_head`.
"""

import itertools
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax import Array

from jloss._core.arguments import known_number
from jloss._core.backend import select
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import log_softmax
from jloss.numerics._special import surprisal

Parameters = dict[str, Any]


@loss("(d),(),()->()", "real class tree")
def adaptive_log_softmax(
    hidden: Array, labels: Array, parameters: Parameters, *, cutoffs: tuple[int, ...] | None = None, **reduce: Unpack[Reduce]
) -> Array:
    r"""Negative log-likelihood under an adaptive softmax: a large output layer whose rare classes are cheap.

    .. math::
        \ell = -\log p_{\text{head}}(y) \;\text{ for a frequent class}, \qquad
        \ell = -\log p_{\text{head}}(\text{cluster of } y) - \log p_{\text{cluster}}(y) \;\text{ otherwise}

    All shapes are static, so it runs under jit; every cluster is computed for every example, and the saving is that of the projections
    (torch's `AdaptiveLogSoftmaxWithLoss` also skips clusters, with shapes that depend on the labels). Its mean is torch's loss, its
    values are minus torch's output. `adaptive_log_probs` gives the probabilities of all classes.

    Args:
        hidden: Features.
        labels: The class, by falling frequency; outside 0..k-1 the example is NaN.
        parameters: As from `init_adaptive_log_softmax`.
        cutoffs: If given, checked against the parameters: the first class of each cluster.

    >>> parameters = init_adaptive_log_softmax(jax.random.key(0), 8, 100, cutoffs=(10, 40))
    >>> adaptive_log_softmax(jnp.zeros((2, 8)), jnp.array([3, 50]), parameters, cutoffs=(10, 40), reduction="none")
    Array([2.4849067, 6.5792513], dtype=float32)

    References:
        Grave et al., Efficient Softmax Approximation for GPUs, 2017. https://arxiv.org/abs/1609.04309
    """
    starts, classes = _layout(parameters)
    if cutoffs is not None and tuple(cutoffs) != starts[:-1] + ((classes,) if len(cutoffs) == len(starts) else ()):
        raise ValueError(f"adaptive_log_softmax: `cutoffs` is {tuple(cutoffs)}, but the parameters have {starts[:-1]}.")
    head, tails = _logits(hidden, parameters)
    index = select((labels >= 0) & (labels < classes), labels, -1)
    for i, start in enumerate(starts[:-1]):
        index = select((labels >= start) & (labels < starts[i + 1]), starts[0] + i, index)
    total = surprisal(head, index)
    for i, (start, tail) in enumerate(zip(starts[:-1], tails, strict=True)):
        inside = (labels >= start) & (labels < starts[i + 1])
        total = total + select(inside, surprisal(tail, select(inside, labels - start, 0)), 0.0)
    return total


def init_adaptive_log_softmax(
    key: Array,
    features: int,
    classes: int,
    cutoffs: tuple[int, ...],
    *,
    div_value: float = 4.0,
    head_bias: bool = False,
    dtype: Any = float,
) -> Parameters:
    """Random parameters of `adaptive_log_softmax`, uniform as in torch's linear layers.

    Args:
        key: Of the random numbers.
        features: Size of the hidden vectors.
        classes: How many classes there are.
        cutoffs: The first class of each cluster, rising, greater than 0 and less than `classes`.
        div_value: By how much the projection of each cluster is narrower than the one before.
        head_bias: Whether the head has a bias.
        dtype: Of the parameters.

    >>> jax.tree.map(jnp.shape, init_adaptive_log_softmax(jax.random.key(0), 8, 100, cutoffs=(10, 40)))
    {'head': {'kernel': (8, 12)}, 'tails': [{'down': (8, 2), 'up': (2, 30)}, {'down': (8, 1), 'up': (1, 60)}]}
    """
    div_value = known_number("init_adaptive_log_softmax", "div_value", div_value)
    ends = (*cutoffs, classes)
    if not cutoffs or cutoffs[0] < 1 or any(a >= b for a, b in itertools.pairwise(ends)):
        raise ValueError(f"init_adaptive_log_softmax: `cutoffs` must rise from above 0 to below {classes}, got {tuple(cutoffs)}.")
    keys = iter(jax.random.split(key, 2 + 2 * len(cutoffs)))

    def uniform(rows: int, *shape: int) -> Array:
        drawn = jax.random.uniform(next(keys), shape, jnp.promote_types(dtype, jnp.float32), -(rows**-0.5), rows**-0.5)
        return drawn.astype(dtype)  # drawn in bfloat16 its mean would not be 0

    head = {"kernel": uniform(features, features, cutoffs[0] + len(cutoffs))}
    if head_bias:
        head["bias"] = uniform(features, cutoffs[0] + len(cutoffs))
    tails = []
    for i, (start, end) in enumerate(itertools.pairwise(ends)):
        narrow = max(1, int(features // div_value ** (i + 1)))
        tails.append({"down": uniform(features, features, narrow), "up": uniform(narrow, narrow, end - start)})
    return {"head": head, "tails": tails}


def adaptive_log_probs(hidden: Array, parameters: Parameters) -> Array:
    """Log-probabilities of all classes, (..., k), under `adaptive_log_softmax`; their argmax is the prediction.

    Args:
        hidden: Features, (..., d).
        parameters: As from `init_adaptive_log_softmax`.
    """
    starts, _ = _layout(parameters)
    head, tails = _logits(hidden, parameters)
    head = log_softmax(head)
    first = starts[0]
    parts = [head[..., :first]]
    parts += [head[..., first + i : first + i + 1] + log_softmax(tail) for i, tail in enumerate(tails)]
    return jnp.concatenate(parts, axis=-1)


def _layout(parameters: Parameters) -> tuple[tuple[int, ...], int]:
    """The first class of each cluster and the end, and the number of classes."""
    first = parameters["head"]["kernel"].shape[-1] - len(parameters["tails"])
    starts = [first]
    for tail in parameters["tails"]:
        starts.append(starts[-1] + tail["up"].shape[-1])
    return tuple(starts), starts[-1]


def _logits(hidden: Array, parameters: Parameters) -> tuple[Array, list[Array]]:
    head = hidden @ parameters["head"]["kernel"].astype(hidden.dtype)
    if "bias" in parameters["head"]:
        head = head + jnp.broadcast_to(parameters["head"]["bias"].astype(hidden.dtype), head.shape)
    return head, [hidden @ t["down"].astype(hidden.dtype) @ t["up"].astype(hidden.dtype) for t in parameters["tails"]]
