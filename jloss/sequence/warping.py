"""Soft alignments of two sequences, t by u: dynamic time warping (global) and Smith-Waterman (local)."""

from typing import Unpack

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import hint, in_block
from jloss._core.functions import over_batch
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import logaddexp, logsumexp
from jloss.sequence._recursion import LOG_ZERO, WEIGHTS, delayed, diagonals, inside, log_add, recursion

FAR = 1e30  # the cost of a point outside the matrix; none is ever an end


@loss("(t,d),(u,d),(),()->()", "real real length length", gamma="positive")
@hint(table="t u")
def soft_dtw(
    first: Array,
    second: Array,
    first_length: Array | None = None,
    second_length: Array | None = None,
    *,
    gamma: float = 1.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Smoothed cost of the best monotone alignment of two series: a regression loss that forgives shifts in time.

    .. math::
        \ell = -\gamma \log \sum_{A} \exp\Big(-\frac{1}{\gamma} \sum_{(i, j) \in A} \| \text{first}_i - \text{second}_j \|^2\Big)

    over all alignments A that go from (1, 1) to the ends by steps of one in either series or in both. As `gamma` goes to 0 this is
    dynamic time warping. The gradient weighs each pair by its posterior, `soft_dtw_alignment`. The loss may be negative and
    is not least at a match: for that see `soft_dtw_divergence`. It is read at the lengths, so padding has neither influence nor
    gradient (implementations that read the corner of a padded array are wrong). Two empty series cost 0, an empty and a
    non-empty one inf with gradient 0; a length out of range gives NaN. A cost of more than 1e30, of points 1e15 apart, comes out too small.

    Args:
        first: A series.
        second: Another, of any length.
        first_length: The number of valid steps; None means all.
        second_length: The number of valid steps; None means all.
        gamma: Smoothing, in units of the squared distance; positive.

    >>> soft_dtw(jnp.array([[0.0], [1.0]]), jnp.array([[0.0], [0.0], [1.0]]), gamma=0.01)
    Array(0., dtype=float32)

    References:
        Cuturi and Blondel, Soft-DTW: a Differentiable Loss Function for Time-Series, 2017. https://arxiv.org/abs/1703.01541
    """
    first, second = _clean(first, first_length), _clean(second, second_length)
    return _soft_dtw(_distances(first, second), first_length, second_length, gamma)


@loss("(t,d),(u,d),(),()->()", "real real length length", gamma="positive")
@hint(time="t^2 u^2", memory="t^2 u^2", table="t u")
def soft_dtw_divergence(
    first: Array,
    second: Array,
    first_length: Array | None = None,
    second_length: Array | None = None,
    *,
    gamma: float = 1.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""`soft_dtw` less its bias: 0 with gradient 0 where the two series are equal.

    .. math::
        \ell = \text{dtw}_\gamma(\text{first}, \text{second})
        - \tfrac12 \text{dtw}_\gamma(\text{first}, \text{first}) - \tfrac12 \text{dtw}_\gamma(\text{second}, \text{second})

    Three times the work. The series may differ in length (ports of soft-DTW to torch demand equal lengths for this).

    Args:
        first: A series.
        second: Another, of any length.
        first_length: The number of valid steps; None means all.
        second_length: The number of valid steps; None means all.
        gamma: Smoothing, in units of the squared distance; positive.

    >>> soft_dtw_divergence(jnp.array([[0.0], [1.0]]), jnp.array([[0.0], [1.0]]))
    Array(0., dtype=float32)
    >>> soft_dtw_divergence(jnp.array([[0.0], [1.0]]), jnp.array([[0.0], [2.0]]))
    Array(0.9671479, dtype=float32)

    References:
        Blondel, Mensch and Vert, Differentiable Divergences Between Time Series, 2021. https://arxiv.org/abs/2010.08354
    """
    a, b = (_clean(first, first_length), first_length), (_clean(second, second_length), second_length)

    def cost(x: tuple[Array, Array | None], y: tuple[Array, Array | None]) -> Array:
        return _soft_dtw(_distances(x[0], y[0]), x[1], y[1], gamma)

    across, within, other = cost(a, b), cost(a, a), cost(b, b)
    return jnp.where(across == jnp.inf, jnp.inf, (across - within / 2) - other / 2)


@over_batch("(t,d),(u,d),(),()", "real real length length")
def soft_dtw_alignment(
    first: Array, second: Array, first_length: Array | None = None, second_length: Array | None = None, *, gamma: float = 1.0
) -> Array:
    """The probability that each pair of steps is aligned: ``(..., t, u)``; 0 beyond the lengths.

    Args:
        first: A series.
        second: Another, of any length.
        first_length: The number of valid steps.
        second_length: The number of valid steps.
        gamma: As in `soft_dtw`.

    >>> soft_dtw_alignment(jnp.array([[0.0], [1.0]]), jnp.array([[0.0], [0.0], [1.0]]), gamma=0.01)
    Array([[1., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    distances = _distances(_clean(first, first_length), _clean(second, second_length))
    return jax.grad(_soft_dtw)(distances, first_length, second_length, gamma)


@loss("(t,u),(),()->()", "real length length", temperature="positive")
@hint(time="u^2", memory="u^2")
def smith_waterman(
    similarities: Array,
    first_length: Array | None = None,
    second_length: Array | None = None,
    *,
    gap_open: float = 3.0,
    gap_extend: float = 1.0,
    temperature: float = 1.0,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Minus the smoothed score of the best local alignment, with affine gaps: to learn similarities of proteins or phrases.

    .. math::
        \ell = -\tau \log \sum_{A} e^{\text{score}(A) / \tau} \qquad
        \text{score}(A) = \sum_{(i, j) \in A} \text{similarities}_{i, j}
        - \sum_{\text{gaps}} \big(\text{open} + (n - 1)\, \text{extend}\big)

    over all local alignments A, the empty one (score 0) included; n is the length of a gap. The gradient is minus the posterior
    that i and j are matched. As the `temperature` :math:`\tau` goes to 0 this is the Smith-Waterman score, negated so that less is
    better. Similarities must be negative on average, or everything aligns. What lies beyond a length has no influence.

    Args:
        similarities: Score of matching step i of one sequence with step j of the other.
        first_length: The number of valid rows; None means all.
        second_length: The number of valid columns; None means all.
        gap_open: Cost of the first step of a gap.
        gap_extend: Cost of every further step.
        temperature: Smoothing; positive.

    >>> smith_waterman(2 * jnp.eye(3) - 1, temperature=0.01)  # three matches
    Array(-3., dtype=float32)

    References:
        Smith and Waterman, Identification of Common Molecular Subsequences, 1981. https://doi.org/10.1016/0022-2836(81)90087-5
        Petti et al., End-to-end Learning of Multiple Sequence Alignments, 2023. https://doi.org/10.1093/bioinformatics/btac724
    """
    rows, columns = similarities.shape
    usable = similarities != -jnp.inf
    if first_length is not None:
        usable = usable & inside(first_length, rows)[:, None]
    if second_length is not None:
        usable = usable & inside(second_length, columns)[None]
    scores = jnp.where(usable, jnp.where(usable, similarities, 0.0) / temperature, LOG_ZERO)
    opened, extended = gap_open / temperature, gap_extend / temperature

    def step(state: tuple[Array, Array, Array, Array, Array], score: Array) -> tuple[Array, Array, Array, Array, Array]:
        """One diagonal: pairs matched, gaps in either sequence (the second kind after the first), all ends so far."""
        match, down, right, before, total = state
        from_above = log_add(match - opened, down - extended)
        from_left = delayed(log_add(log_add(match, down) - opened, right - extended), LOG_ZERO)
        matched = score + log_add(delayed(before, LOG_ZERO), jnp.zeros_like(before, shape=()))
        ends = log_add(log_add(match, down), right)
        return matched, from_above, from_left, ends, log_add(total, matched)

    nothing = jnp.full_like(similarities, LOG_ZERO, shape=(columns,))
    state = recursion(step, (nothing,) * 5, diagonals(scores, rows + columns - 1, LOG_ZERO))
    total = logsumexp(state[-1])
    result = -temperature * logaddexp(total, jnp.zeros_like(total))
    for length, size in ((first_length, rows), (second_length, columns)):
        if length is not None:
            result = jnp.where((length < 0) | (length > size), jnp.nan, result)
    return result


def _soft_dtw(costs: Array, first_length: Array | None, second_length: Array | None, gamma: float | Array) -> Array:
    """The smoothed cost of the best path through a matrix of costs."""
    if costs.shape[0] < costs.shape[1]:  # the shorter side is the vector
        costs, first_length, second_length = costs.T, second_length, first_length
    rows, columns = costs.shape
    if columns == 0:
        return jnp.full_like(costs, 0 if rows == 0 else jnp.inf, shape=())
    gamma = jnp.asarray(gamma, costs.dtype)
    rate = 1 / gamma

    def soft_min(*ways: Array) -> Array:
        least = lax.stop_gradient(jnp.minimum(jnp.minimum(ways[0], ways[1]), ways[2]))
        first, *others = (jnp.exp((least - way) * rate) for way in ways)
        return least - gamma * jnp.log(sum(others, first))

    def step(state: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[Array, Array]:
        last, before = state
        cost, *run = row
        new = cost + soft_min(last, delayed(last, FAR), delayed(before, FAR))
        moved = new, last
        return jax.tree.map(lambda new, old: jnp.where(run[0], new, old), moved, state) if run else moved

    def two_steps(state: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[Array, Array]:
        """The state is two diagonals, so that each is kept once."""
        return step(step(state, tuple(x[0] for x in row)), tuple(x[1] for x in row))

    later = rows + columns - 2
    pairs = (later + 1) // 2
    table = diagonals(costs, 1 + 2 * pairs, FAR)
    steps: tuple[Array, ...] = (table[1:].reshape(pairs, 2, columns),)
    ends = [jnp.asarray(size, jnp.int32) if n is None else n for n, size in ((first_length, rows), (second_length, columns))]
    if first_length is not None or second_length is not None:
        steps = (*steps, inside(ends[0] + ends[1] - 2, 2 * pairs).reshape(pairs, 2))
    # A block keeps the exponentials in the caches: a fifth less time than to compute them again from the states.
    last, before = recursion(two_steps, (table[0], jnp.full_like(table[0], FAR)), steps, kept=WEIGHTS if in_block() else ())
    if second_length is None and first_length is None:
        return last[-1] if later == 2 * pairs else before[-1]
    end = jnp.take(last, ends[1] - 1, mode="clip")
    empty = [n == 0 for n in ends]
    result = jnp.where(empty[0] | empty[1], jnp.where(empty[0] & empty[1], 0.0, jnp.inf), end)
    bad = (ends[0] < 0) | (ends[0] > rows) | (ends[1] < 0) | (ends[1] > columns)
    return jnp.where(bad, jnp.nan, result)


def _distances(first: Array, second: Array) -> Array:
    """Squared Euclidean distances, exact for near points, a feature at a time: no (t, u, d) array, no sum over a short last axis."""

    def add(total: Array, pair: tuple[Array, Array]) -> Array:
        return total + jnp.square(pair[0][:, None] - pair[1][None])

    return recursion(add, jnp.zeros_like(first @ second.T), (first.T, second.T))


def _clean(series: Array, length: Array | None) -> Array:
    return series if length is None else jnp.where(inside(length, series.shape[0])[:, None], series, 0.0)
