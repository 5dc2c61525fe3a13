"""Losses of sequences with unknown alignment: t steps, u labels, k classes.

Each is a dynamic programme for one example in log space. `jax.grad` of the recursion is the posterior over alignments, so no
backward pass is written; the recursion keeps one state per step, or with `chunk_size` one per chunk.
"""

from typing import Literal, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.functions import over_batch
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import log_softmax, pick, positive_part
from jloss.sequence._recursion import (
    LOG_ZERO,
    WEIGHTS,
    checked_blank,
    delayed,
    floored,
    inside,
    last_entry,
    log_add,
    log_normalizer,
    pick_columns,
    recursion,
)


@loss("(t,k),(u),(),()->()", "real class length length")
def ctc(
    logits: Array,
    labels: Array,
    logit_length: Array | None = None,
    label_length: Array | None = None,
    *,
    blank: int = 0,
    infeasible: Literal["inf", "zero"] = "inf",
    chunk_size: int | None = None,
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Negative log-likelihood of a label sequence under all its alignments to the steps: recognition without timings.

    .. math::
        \ell = -\log \sum_{\pi \in \mathcal{B}^{-1}(\text{labels})} \; \prod_{t} \text{softmax}(\text{logits}_t)_{\pi_t}

    where :math:`\mathcal{B}` merges repeated classes and then drops the `blank`. The gradient in the logits is the softmax minus the
    posterior of the classes over all alignments, exactly (torch's gradient is right only behind a `log_softmax`). Steps at or
    beyond `logit_length` and labels at or beyond `label_length` have neither influence nor gradient, even if they hold NaN.
    A sequence that does not fit (fewer steps than labels plus adjacent repeats) has probability 0: the loss is inf, with gradient 0
    (optax and Keras: about 1e5, with a gradient; torch: NaN gradients), or 0 with ``infeasible="zero"``. A label that is out of
    range or equal to `blank`, or a length out of range, gives NaN. The loss is never negative.

    The mean is over examples, as in optax and Keras; torch's mean first divides each loss by its label length, which here is a
    division of the values of ``reduction="none"``. For models with a prediction network see `rnnt`.

    Args:
        logits: Unnormalised scores of the classes at each step.
        labels: The target classes, padded with anything.
        logit_length: The number of valid steps; None means all.
        label_length: The number of valid labels; None means all.
        blank: The class that stands for no label; negative counts from the end.
        infeasible: The loss of a sequence that does not fit its steps: ``"inf"`` or ``"zero"``.
        chunk_size: Steps between kept states; the others are computed again for the gradient. About the square root of t saves
            most memory. None keeps all, which is faster.

    >>> ctc(jnp.zeros((4, 3)), jnp.array([1, 2]))  # 15 of the 81 paths read 1, 2
    Array(1.686399, dtype=float32)
    >>> ctc(jnp.zeros((2, 3)), jnp.array([1, 1]))  # a repeat needs a blank between
    Array(inf, dtype=float32)

    References:
        Graves et al., Connectionist Temporal Classification, 2006. https://doi.org/10.1145/1143844.1143891
    """
    steps, classes = logits.shape
    count = labels.shape[0]
    blank = checked_blank("ctc", blank, classes)
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"ctc: `chunk_size` must be 1 or more, got {chunk_size}.")
    wrong = (labels < 0) | (labels >= classes) | (labels == blank)
    extended = jnp.pad(jnp.where(wrong, blank, labels), (0, 1), constant_values=blank)
    can_skip = jnp.pad(labels != delayed(labels, blank), (0, 1))
    valid = () if logit_length is None else (inside(logit_length, steps),)
    rows = logits, *valid
    apart = chunk_size is None  # the normalisers stay out of the recursion, unless in chunks, where that would cost an array

    def emissions(logits: Array, *valid: Array) -> tuple[Array, ...]:
        """Scores of the labels and of the blank, the only ones that the recursion needs; log-probabilities in chunks."""
        picked = pick_columns(logits, extended)
        log_total, peak = log_normalizer(logits, *valid)
        if valid:
            picked = jnp.where(valid[0][:, None], picked, 0.0)
        return (picked - peak if apart else (picked - peak) - log_total), *valid

    def step(states: tuple[Array, ...], row: tuple[Array, ...]) -> tuple[Array, ...]:
        """All prefixes of s labels: `ends[s]`; those that end in a blank: `gaps[s]`; in label s: `marks[s]` (the last means nothing)."""
        ends, gaps, marks = states
        emission, *valid = floored(row[0]), *row[1:]
        marks = log_add(marks, jnp.where(can_skip, ends, gaps)) + emission
        gaps = ends + last_entry(emission)
        moved = log_add(gaps, delayed(marks, LOG_ZERO)), gaps, marks
        return jax.tree.map(lambda new, old: jnp.where(valid[0], new, old), moved, states) if valid else moved

    nowhere = jnp.full_like(logits, LOG_ZERO, shape=(count + 1,))
    nothing_written = delayed(nowhere, 0.0)
    start: tuple[Array, ...] = nothing_written, nothing_written, nowhere
    if chunk_size is not None and classes <= count:  # the narrower array is the one to keep
        ended, *_ = recursion(step, start, rows, chunk_size=chunk_size, prepare=emissions, kept=WEIGHTS)
    else:
        ended, *_ = recursion(step, start, emissions(*rows), chunk_size=chunk_size, kept=WEIGHTS)
    wrong = wrong if label_length is None else wrong & inside(label_length, count)
    bad = jnp.any(wrong)
    for length, size in ((logit_length, steps), (label_length, count)):
        if length is not None:
            bad = bad | (length < 0) | (length > size)
    result = -(ended[-1] if label_length is None else pick(ended, label_length))
    if apart:  # a path takes one class a step, so every path has all normalisers; without them its sums have more digits
        log_total, _ = log_normalizer(*rows)
        result = result + jnp.sum(jnp.where(valid[0][:, None], log_total, 0.0) if valid else log_total)
    result = positive_part(jnp.where(result >= -LOG_ZERO / 2, jnp.inf if infeasible == "inf" else 0.0, result))
    return jnp.where(bad, jnp.nan, result)


class Alignment(NamedTuple):
    """The class and the index of the label at each step (-1: a blank, or beyond the length), and the log-probability of the path."""

    classes: Array
    positions: Array
    score: Array


@over_batch("(t,k),(u),(),()", "real class length length")
def ctc_alignment(
    logits: Array, labels: Array, logit_length: Array | None = None, label_length: Array | None = None, *, blank: int = 0
) -> Alignment:
    """The most probable path of `ctc` (forced alignment): which label each step belongs to.

    Returns ``classes`` (..., t), the class of each step, with the blank (-1 beyond `logit_length`); ``positions`` (..., t), the index of
    its label (-1 at a blank); ``score`` (...), the log-probability of this one path. Where no path exists, everything
    is -1 and the score -inf; with a bad label or length, NaN. No gradient. For the posterior over all paths take the gradient of
    `ctc`.

    Args:
        logits: Unnormalised scores of the classes at each step.
        labels: The target classes.
        logit_length: The number of valid steps; None means all.
        label_length: The number of valid labels; None means all.
        blank: The class that stands for no label; negative counts from the end.

    >>> logits = 5.0 * jax.nn.one_hot(jnp.array([0, 1, 1, 0, 2]), 3)
    >>> path = ctc_alignment(logits, jnp.array([1, 2]))
    >>> path.classes, path.positions
    (Array([0, 1, 1, 0, 2], dtype=int32), Array([-1,  0,  0, -1,  1], dtype=int32))

    References:
        Graves et al., Connectionist Temporal Classification, 2006. https://doi.org/10.1145/1143844.1143891
    """
    steps, classes = logits.shape
    count = labels.shape[0]
    blank = checked_blank("ctc_alignment", blank, classes)
    logits = lax.stop_gradient(logits)
    valid = jnp.ones(steps, bool) if logit_length is None else inside(logit_length, steps)
    ends = jnp.asarray(count, jnp.int32) if label_length is None else label_length
    wrong = (labels < 0) | (labels >= classes) | (labels == blank)
    is_label = np.arange(2 * count + 1) % 2 == 1  # states: blank, label 0, blank, label 1, ..., blank
    extended = jnp.where(is_label, jnp.repeat(jnp.pad(jnp.where(wrong, blank, labels), (0, 1)), 2)[:-1], blank)
    can_skip = is_label & (extended != delayed(delayed(extended, blank), blank))
    log_probs = log_softmax(jnp.where(valid[:, None], logits, 0.0)).at[:, extended].get(mode="promise_in_bounds")

    def forward(best: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        log_prob, run = row
        by_one = delayed(best, -jnp.inf)
        by_two = jnp.where(can_skip, delayed(by_one, -jnp.inf), -jnp.inf)
        reach = jnp.maximum(best, by_one)
        came = jnp.where(by_two > reach, 2, jnp.where(by_one > best, 1, 0)).astype(jnp.int32)
        return jnp.where(run, jnp.maximum(reach, by_two) + log_prob, best), jnp.where(run, came, 0)

    def backward(state: Array, came: Array) -> tuple[Array, Array]:
        return state - came.at[state].get(mode="promise_in_bounds"), state

    start = delayed(jnp.full_like(logits, -jnp.inf, shape=(2 * count + 1,)), 0.0)
    best, came = lax.scan(forward, start, (log_probs, valid))
    end = 2 * jnp.clip(ends, 0, count)
    in_label = best.at[jnp.maximum(end - 1, 0)].get(mode="promise_in_bounds")
    in_blank = best.at[end].get(mode="promise_in_bounds")
    last = jnp.where((in_label > in_blank) & (end > 0), end - 1, end)
    _, states = lax.scan(backward, last, came, reverse=True)
    score = best.at[last].get(mode="promise_in_bounds")
    known = valid & (score > -jnp.inf)
    label = known & jnp.asarray(is_label).at[states].get(mode="promise_in_bounds")
    bad = jnp.any(wrong & inside(ends, count)) | (ends < 0) | (ends > count)
    if logit_length is not None:
        bad = bad | (logit_length < 0) | (logit_length > steps)
    path = jnp.where(known, extended.at[states].get(mode="promise_in_bounds"), -1)
    positions = jnp.where(label, states // 2, -1)
    return Alignment(jnp.where(bad, -1, path), jnp.where(bad, -1, positions), jnp.where(bad, jnp.nan, score))


class Transcript(NamedTuple):
    """Decoded labels, -1 beyond their number, and their number."""

    labels: Array
    length: Array


@over_batch("(t,k),()", "real length")
def ctc_greedy_decode(logits: Array, logit_length: Array | None = None, *, blank: int = 0) -> Transcript:
    """What the best class of each step reads: repeats merged, blanks dropped.

    Returns ``labels`` (..., t), -1 beyond their number, and their number, ``length`` (...). It is the most probable path, which need
    not read the most probable labels.

    Args:
        logits: Scores of the classes at each step.
        logit_length: The number of valid steps; None means all.
        blank: The class that stands for no label; negative counts from the end.

    >>> read = ctc_greedy_decode(jax.nn.one_hot(jnp.array([0, 1, 1, 0, 1, 2]), 3))
    >>> read.labels, read.length
    (Array([ 1,  1,  2, -1, -1, -1], dtype=int32), Array(3, dtype=int32))

    References:
        Graves et al., Connectionist Temporal Classification, 2006. https://doi.org/10.1145/1143844.1143891
    """
    steps, classes = logits.shape
    blank = checked_blank("ctc_greedy_decode", blank, classes)
    best = jnp.argmax(logits, axis=1).astype(jnp.int32)
    kept = (best != blank) & (best != delayed(best, blank))
    if logit_length is not None:
        kept = kept & inside(logit_length, steps)
    place = jnp.where(kept, jnp.cumsum(kept, dtype=jnp.int32) - 1, steps)
    labels = jnp.full_like(best, -1, shape=(steps,)).at[place].set(best, mode="drop")
    return Transcript(labels, jnp.sum(kept, dtype=jnp.int32))
