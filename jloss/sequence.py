"""Losses of sequences with unknown alignment: t steps, u labels, k classes.

Each is a dynamic programme for one example in log space. `jax.grad` of the recursion is the posterior over alignments, so no
backward pass is written; the recursion keeps one state per step, or with `chunk_size` one per chunk.
"""

from typing import Literal, Unpack

import jax
import jax.numpy as jnp
from jax import Array

from jloss._loss import Reduce, loss
from jloss._math import logaddexp, pick, positive_part
from jloss._recursion import checked_blank, delayed, inside, log_normalizer, recursion


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
    if infeasible not in ("inf", "zero"):
        raise ValueError(f"ctc: `infeasible` must be 'inf' or 'zero', got {infeasible!r}.")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"ctc: `chunk_size` must be 1 or more, got {chunk_size}.")
    wrong = (labels < 0) | (labels >= classes) | (labels == blank)
    extended = jnp.pad(jnp.where(wrong, blank, labels), (1, 0), constant_values=blank)
    can_skip = jnp.pad(labels != delayed(labels, blank), (0, 1))
    rows = (logits,) if logit_length is None else (logits, inside(logit_length, steps))

    def emissions(logits: Array, *valid: Array) -> tuple[Array, ...]:
        """Log-probabilities of the blank and of the labels, the only ones needed."""
        picked = logits.at[:, extended].get(mode="promise_in_bounds")
        if valid:  # both: the normaliser reads classes that are not picked
            logits, picked = (jnp.where(valid[0][:, None], x, 0) for x in (logits, picked))
        log_total, peak = log_normalizer(logits)
        return (picked - peak) - log_total, *valid

    def step(states: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[Array, Array]:
        """`gaps[s]`: all prefixes of s labels that end in a blank. `marks[s]`: that end in label s."""
        gaps, marks = states
        emission, *valid = row
        either = logaddexp(gaps, marks)
        entering = jnp.where(can_skip, either, gaps)
        moved = either + emission[0], logaddexp(marks, delayed(entering, -jnp.inf)) + emission
        return jax.tree.map(lambda new, old: jnp.where(valid[0], new, old), moved, states) if valid else moved

    nowhere = jnp.full_like(logits, -jnp.inf, shape=(count + 1,))
    start = delayed(nowhere, 0.0), nowhere
    if chunk_size is not None and classes <= count:  # the narrower array is the one to keep
        gaps, marks = recursion(step, start, rows, chunk_size=chunk_size, prepare=emissions)
    else:
        gaps, marks = recursion(step, start, emissions(*rows), chunk_size=chunk_size)
    ended = logaddexp(gaps, marks)
    wrong = wrong if label_length is None else wrong & inside(label_length, count)
    bad = jnp.any(wrong)
    if logit_length is not None:
        bad = bad | (logit_length < 0) | (logit_length > steps)
    result = -(ended[-1] if label_length is None else pick(ended, label_length))
    result = positive_part(jnp.where(result == jnp.inf, jnp.inf if infeasible == "inf" else 0.0, result))
    return jnp.where(bad, jnp.nan, result)
