"""Losses of the router of a mixture of experts.

Letters: n tokens of a router's batch, e experts. `mask` drops tokens, whatever they hold.
"""

import functools
from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.language._steps import masked_steps, over_steps
from jloss.numerics import log_softmax, logsumexp, safe_divide
from jloss.numerics._special import softmax_entropy


@loss("(n,e),(n)->()", "real mask")
@hint(needs={"e": "experts"})
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
    total, count = over_steps(jnp.square(logsumexp(masked_steps(logits, mask))), mask)
    return safe_divide(total, count)


@loss("(n,e),(n)->()", "real mask")
@hint(needs={"e": "experts"})
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
    logits = masked_steps(logits, mask)
    chosen = _top(lax.stop_gradient(logits), top_k).astype(logits.dtype)
    kept = jnp.ones_like(logits[:, 0]) if mask is None else mask.astype(logits.dtype)
    total = functools.partial(jnp.matmul, kept, precision=lax.Precision.HIGHEST)  # by default TPUs round probabilities to three digits
    sums = total(chosen), total(jnp.exp(jax.vmap(log_softmax)(logits))), jnp.sum(kept)
    counts, mass, count = sums if tokens_axis_name is None else lax.psum(sums, tokens_axis_name)
    return experts * jnp.sum(safe_divide(lax.stop_gradient(counts), count * top_k) * safe_divide(mass, count))


@loss("(n,e),(n)->()", "real mask")
@hint(needs={"e": "experts"})
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
    total, count = over_steps(jax.vmap(softmax_entropy)(masked_steps(logits, mask)), mask)
    return safe_divide(total, count)


def _top(logits: Array, count: int) -> Array:
    """Which experts are among the first of each token. By argmax, which stays on the device of its tokens; `lax.top_k` gathers them."""
    left = jnp.maximum(logits, jnp.finfo(logits.dtype).min)
    for _ in range(count):
        first = jnp.arange(logits.shape[1])[None] == jnp.argmax(left, axis=1, keepdims=True)
        left = jnp.where(first, -jnp.inf, left)
    return left == -jnp.inf
