"""Transducers: t steps of input, u labels, k classes, on a lattice where a label moves up and a blank moves on.

``alpha[t, s]`` is the log-probability of having read t steps and written s labels. A diagonal of the lattice depends only on the
one before it, so the recursion is one scan of t + u short vector steps. The full joint network has t (u + 1) k logits;
`rnnt_simple`, `rnnt_ranges`, `rnnt_prune` and `rnnt_pruned` together train it on a band of the lattice.
"""

import functools
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.arguments import check_static
from jloss._core.backend import by_platform, hint
from jloss._core.functions import over_batch
from jloss._core.loss import loss
from jloss._core.signature import Reduce
from jloss.numerics import logsumexp, pick, positive_part
from jloss.sequence._recursion import (
    LOG_ZERO,
    checked_blank,
    delayed,
    diagonals,
    floored,
    inside,
    log_add,
    log_normalizer,
    recursion,
)

Kind = Literal["regular", "modified", "constrained"]


@loss("(t,u+1,k),(u),(),()->()", "real class length length")
@hint(time="u^2", memory="u^2")
def rnnt(
    logits: Array,
    labels: Array,
    logit_length: Array | None = None,
    label_length: Array | None = None,
    *,
    blank: int = 0,
    kind: Kind = "regular",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""Negative log-likelihood of a label sequence under a transducer: streaming recognition with a prediction network.

    .. math::
        \ell = -\log \sum_{\pi} \prod_{(t, s, c) \in \pi} \text{softmax}(\text{logits}_{t, s})_c

    over all monotone paths :math:`\pi` from (0, 0) to (`logit_length`, `label_length`): at step t with s labels written, a path
    writes label s, or takes the `blank` and goes on to step t + 1. The gradient is the softmax times the posterior of visiting
    (t, s), minus the posterior of each move. What lies beyond a length has neither influence nor gradient, even if it is NaN. Where
    no path exists the loss is inf with gradient 0; a label out of range or equal to `blank`, or a length out of range, gives NaN.

    One array as large as the logits is computed, their gradient. If that is too much see `rnnt_pruned`; without a prediction
    network see `ctc`. Averages over examples, as torchaudio does.

    Args:
        logits: Unnormalised scores at each step, after each number of labels.
        labels: The target classes, padded with anything.
        logit_length: The number of valid steps; None means all.
        label_length: The number of valid labels; None means all.
        blank: The class that moves on; negative counts from the end (torchaudio's default is -1).
        kind: What a label costs: ``"regular"``, no step; ``"modified"``, one step, so at most one label per step;
            ``"constrained"``, one step and the score of the blank that follows.

    >>> rnnt(jnp.zeros((2, 2, 3)), jnp.array([1]))  # two paths of three moves
    Array(2.6026897, dtype=float32)

    References:
        Graves, Sequence Transduction with Recurrent Neural Networks, 2012. https://arxiv.org/abs/1211.3711
    """
    steps, points, classes = logits.shape
    blank = checked_blank("rnnt", blank, classes)
    index, wrong = _checked_labels(labels, label_length, classes, blank)
    valid = _valid(steps, points - 1, logit_length, label_length)
    scores = _move_scores(logits, index[None], blank, valid)
    result = _lattice(scores[:, :-1, 1], scores[..., 0], logit_length, label_length, kind)
    return jnp.where(wrong, jnp.nan, positive_part(result))


@loss("(t,u),(t,u+1),(),()->()", "real real length length")
@hint(time="u^2", memory="u^2")
def rnnt_lattice(
    label_scores: Array,
    blank_scores: Array,
    logit_length: Array | None = None,
    label_length: Array | None = None,
    *,
    kind: Kind = "regular",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""The transducer from the scores of its moves, for joint networks that normalise in their own way.

    .. math::
        \ell = -\log \sum_{\pi} \exp \Big( \sum_{\text{labels of } \pi} \text{label\_scores}_{t, s}
               + \sum_{\text{blanks of } \pi} \text{blank\_scores}_{t, s} \Big)

    over the paths of `rnnt`. The gradient is minus the posterior of each move, so it sums to minus the number of labels and to
    minus the number of steps. The scores need not be log-probabilities: then the loss may be negative. -inf forbids a move. k2's
    ``px, py`` are these arrays with the axes exchanged (its regular ``px`` has a column more, of -inf).

    Args:
        label_scores: Log-weight of writing label s at step t.
        blank_scores: Log-weight of moving on from step t with s labels written.
        logit_length: The number of valid steps; None means all.
        label_length: The number of valid labels; None means all.
        kind: As in `rnnt`.

    >>> rnnt_lattice(jnp.zeros((4, 2)), jnp.zeros((4, 3)))  # minus the logarithm of 10 paths
    Array(-2.3025851, dtype=float32)

    References:
        Kuang et al., Pruned RNN-T for Fast, Memory-Efficient ASR Training, 2022. https://arxiv.org/abs/2206.13236
    """
    return _lattice(label_scores, blank_scores, logit_length, label_length, kind)


@loss("(t,k),(u+1,k),(u),(),()->()", "real real class length length", am_only_scale="unit", lm_only_scale="unit")
@hint(time="u^2", memory="u^2")
def rnnt_simple(
    acoustic: Array,
    language: Array,
    labels: Array,
    logit_length: Array | None = None,
    label_length: Array | None = None,
    *,
    blank: int = 0,
    am_only_scale: float = 0.0,
    lm_only_scale: float = 0.0,
    kind: Kind = "regular",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""A transducer whose joint network is a sum, so that no array of t u k numbers exists: trained to find where to prune.

    .. math::
        \ell = \text{rnnt}\big(\text{logits}_{t, s} = \text{acoustic}_t + \text{language}_s\big)

    The normaliser of all points is one matrix product of exponentials; where every class is more than 85 below the sum of both
    maxima, it is floored there, without gradient. With scales, the log-probabilities of the moves become
    ``(1 - am - lm) joint + am (acoustic alone) + lm (language alone)``, where acoustic alone is given the average
    of the language probabilities (of this example; k2 averages over the batch).

    The usual recipe adds half of this loss to `rnnt_pruned` on the band that `rnnt_ranges` finds.

    Args:
        acoustic: Scores of the classes at each step.
        language: Scores of the classes after each number of labels.
        labels: The target classes, padded with anything.
        logit_length: The number of valid steps; None means all.
        label_length: The number of valid labels; None means all.
        blank: The class that moves on; negative counts from the end.
        am_only_scale: Share of the acoustic scores alone (k2: 0.1, icefall: 0).
        lm_only_scale: Share of the language scores alone (k2: 0.1, icefall: 0.25).
        kind: As in `rnnt`.

    >>> rnnt_simple(jnp.zeros((2, 3)), jnp.zeros((2, 3)), jnp.array([1]))
    Array(2.6026897, dtype=float32)

    References:
        Kuang et al., Pruned RNN-T for Fast, Memory-Efficient ASR Training, 2022. https://arxiv.org/abs/2206.13236
    """
    blank = checked_blank("rnnt_simple", blank, acoustic.shape[-1])
    index, wrong = _checked_labels(labels, label_length, acoustic.shape[-1], blank)
    scores = _simple_scores(acoustic, language, index, logit_length, label_length, blank, am_only_scale, lm_only_scale)
    result = _lattice(*scores, logit_length, label_length, kind)
    return jnp.where(wrong, jnp.nan, positive_part(result))


@loss("(t,r,k),(t),(u),(),()->()", "real length class length length")
@hint(time="u^2", memory="u^2")
def rnnt_pruned(
    logits: Array,
    starts: Array,
    labels: Array,
    logit_length: Array | None = None,
    label_length: Array | None = None,
    *,
    blank: int = 0,
    kind: Kind = "regular",
    **reduce: Unpack[Reduce],
) -> Array:
    r"""A transducer on a band of the lattice: the full joint network at a fraction of its memory.

    .. math::
        \ell = -\log \sum_{\pi \subset \text{band}} \prod_{(t, s, c) \in \pi} \text{softmax}(\text{logits}_{t,\, s - \text{starts}_t})_c
        \qquad \text{band} = \{(t, s) : 0 \le s - \text{starts}_t < r\}

    Paths that leave the band do not count, so the loss is an upper bound of `rnnt`, and equal to it where r is u + 1. If no path
    stays within the band it is inf, with gradient 0. `rnnt_ranges` finds a band, `rnnt_prune` cuts the prediction network's output to
    it.

    Args:
        logits: Unnormalised scores at each step, after ``starts[t]``, ``starts[t] + 1``, ... labels.
        starts: The least number of labels of the band at each step.
        labels: The target classes, padded with anything.
        logit_length: The number of valid steps; None means all.
        label_length: The number of valid labels; None means all.
        blank: The class that moves on; negative counts from the end.
        kind: As in `rnnt`.

    >>> acoustic, language, labels = jnp.zeros((6, 4)), jnp.zeros((5, 4)), jnp.array([1, 2, 3, 1])
    >>> starts = rnnt_ranges(acoustic, language, labels, width=3)
    >>> starts
    Array([0, 0, 1, 1, 2, 2], dtype=int32)
    >>> band = acoustic[:, None] + rnnt_prune(language, starts, width=3)
    >>> rnnt_pruned(band, starts, labels), rnnt_simple(acoustic, language, labels)
    (Array(10.056282, dtype=float32), Array(9.026662, dtype=float32))

    References:
        Kuang et al., Pruned RNN-T for Fast, Memory-Efficient ASR Training, 2022. https://arxiv.org/abs/2206.13236
    """
    steps, width, classes = logits.shape
    if width == 0:
        raise ValueError("rnnt_pruned: `logits` has bands without a symbol; axis `r` has size 0.")
    count = labels.shape[0]
    blank = checked_blank("rnnt_pruned", blank, classes)
    index, wrong = _checked_labels(labels, label_length, classes, blank)
    written = starts[:, None] + jnp.arange(width, dtype=starts.dtype)[None, :]
    on_band = (written >= 0) & (written <= count)
    label = _take(index, jnp.where(on_band, written, 0))
    valid = _valid(steps, count, logit_length, label_length)
    if valid is not None:
        on_band = on_band & jax.vmap(_take)(valid, jnp.where(on_band, written, 0))
    band = _move_scores(logits, label, blank, on_band)
    offset = jnp.arange(count + 1, dtype=starts.dtype)[None, :] - starts[:, None]
    covered = (offset >= 0) & (offset < width)
    spread = _selected if width <= 16 else _taken
    scores = by_platform(band, jnp.where(covered, offset, 0), tpu=spread, default=_taken)
    stay, write = (jnp.where(covered, x, -jnp.inf) for x in scores)
    result = _lattice(write[:, :-1], stay, logit_length, label_length, kind)
    return jnp.where(wrong, jnp.nan, positive_part(result))


@over_batch("(t,k),(u+1,k),(u),(),()", "real real class length length")
def rnnt_ranges(
    acoustic: Array,
    language: Array,
    labels: Array,
    logit_length: Array | None = None,
    label_length: Array | None = None,
    *,
    width: int = 5,
    blank: int = 0,
    kind: Kind = "regular",
) -> Array:
    """Where the band of `rnnt_pruned` starts at each step: the window of `width` that keeps most of the posterior of `rnnt_simple`.

    The starts begin at 0, never fall, rise by less than `width` per step (by at most 1 unless `kind` is regular), and end so that the
    last label is within the band. No gradient flows through them.

    Args:
        acoustic: Scores of the classes at each step.
        language: Scores of the classes after each number of labels.
        labels: The target classes.
        logit_length: The number of valid steps; None means all.
        label_length: The number of valid labels; None means all.
        width: How many points per step are kept; 2 or more.
        blank: The class that moves on.
        kind: As in `rnnt`.

    >>> rnnt_ranges(jnp.zeros((6, 4)), jnp.zeros((5, 4)), jnp.array([1, 2, 3, 1]), width=3)
    Array([0, 0, 1, 1, 2, 2], dtype=int32)
    """
    check_static("rnnt_ranges", "kind", kind, Kind)
    if width < 2:
        raise ValueError(f"rnnt_ranges: `width` must be 2 or more, got {width}.")
    steps, count = acoustic.shape[0], labels.shape[0]
    blank = checked_blank("rnnt_ranges", blank, acoustic.shape[-1])
    index, _ = _checked_labels(labels, label_length, acoustic.shape[-1], blank)
    acoustic, language = lax.stop_gradient((acoustic, language))
    scores = _simple_scores(acoustic, language, index, logit_length, label_length, blank, 0.0, 0.0)
    label, stay = jax.grad(lambda s: -_lattice(s[0], s[1], logit_length, label_length, kind))(scores)
    visits = stay + jnp.pad(label, ((0, 0), (0, 1)))
    before = jnp.pad(jnp.cumsum(visits, axis=1), ((0, 0), (1, 0)))
    kept = before[:, width:] - before[:, :-width] if width <= count else visits[:, :1]
    wanted = jnp.argmax(kept, axis=1).astype(jnp.int32)

    end = jnp.maximum((count if label_length is None else label_length) + 1 - width, 0)
    at = jnp.arange(steps, dtype=jnp.int32)
    final = at >= (steps if logit_length is None else logit_length) - 1
    wanted = jnp.where(final, end, jnp.minimum(wanted, end))
    rise = (width - 1 if kind == "regular" else 1) * at
    wanted = lax.cummin(wanted, reverse=True)
    wanted = lax.cummax(wanted - rise, reverse=True) + rise
    return jnp.minimum(wanted, rise)


@over_batch("(u+1,d),(t)", "real length")
def rnnt_prune(language: Array, starts: Array, *, width: int = 5) -> Array:
    """The prediction network's output on the band: ``(..., t, width, d)``, to be joined with the encoder's.

    Args:
        language: Output of the prediction network after each number of labels.
        starts: From `rnnt_ranges`.
        width: As in `rnnt_ranges`.

    >>> rnnt_prune(jnp.arange(4.0)[:, None], jnp.array([0, 0, 2]), width=2)[..., 0]
    Array([[0., 1.],
           [0., 1.],
           [2., 3.]], dtype=float32)
    """
    written = starts[:, None] + jnp.arange(width, dtype=starts.dtype)[None, :]
    return _take(language, jnp.clip(written, 0, language.shape[0] - 1))


def _checked_labels(labels: Array, label_length: Array | None, classes: int, blank: int) -> tuple[Array, Array]:
    """One label more than there are, all in range, and whether one within the length was not."""
    wrong = (labels < 0) | (labels >= classes) | (labels == blank)
    index = jnp.pad(jnp.where(wrong, blank, labels), (0, 1), constant_values=blank)
    return index, jnp.any(wrong if label_length is None else wrong & inside(label_length, labels.shape[0]))


def _valid(steps: int, count: int, logit_length: Array | None, label_length: Array | None) -> Array | None:
    """Which points (t, s) lie within the lengths; None means all."""
    if logit_length is None and label_length is None:
        return None
    rows = jnp.ones(steps, bool) if logit_length is None else inside(logit_length, steps)
    columns = jnp.ones(count + 1, bool) if label_length is None else inside(label_length + 1, count + 1)
    return rows[:, None] & columns[None, :]


def _move_scores(logits: Array, labels: Array, blank: int, valid: Array | None) -> Array:
    """Log-probabilities of the blank and of the label at each point; ``labels[0, s]`` or ``labels[t, s]``."""
    moves = jnp.where(np.array([[[True, False]]]), blank, labels[..., None])
    picked = by_platform(logits, moves, tpu=_compared, default=_gathered)
    if valid is not None:
        picked = jnp.where(valid[..., None], picked, 0.0)
    log_total, peak = log_normalizer(logits, valid)
    return (picked - peak) - log_total


def _gathered(logits: Array, moves: Array) -> Array:
    """One gather, whose transpose adds to the gradient in place."""
    return jnp.take_along_axis(logits, moves, axis=-1, mode="promise_in_bounds")


def _compared(logits: Array, moves: Array) -> Array:
    """Fuses into the pass of the normaliser; a gather costs a TPU twenty passes."""
    classes = jnp.arange(logits.shape[-1], dtype=moves.dtype)[None, None]
    return jnp.stack([jnp.sum(jnp.where(classes == moves[..., i, None], logits, 0.0), axis=-1) for i in range(2)], axis=-1)


def _taken(band: Array, offset: Array) -> tuple[Array, Array]:
    """``band[t, offset[t, s]]``, the scores of both moves."""
    dense = jax.vmap(_take)(band, offset)
    return dense[..., 0], dense[..., 1]


def _selected(band: Array, offset: Array) -> tuple[Array, Array]:
    """The same, a point of the band at a time: the gather's pairs would fill 2 of a TPU's 128 lanes."""

    def along(scores: Array) -> Array:
        return functools.reduce(jnp.add, (jnp.where(offset == i, scores[:, i, None], 0.0) for i in range(scores.shape[1])))

    return along(band[..., 0]), along(band[..., 1])


def _simple_scores(
    acoustic: Array,
    language: Array,
    index: Array,
    logit_length: Array | None,
    label_length: Array | None,
    blank: int,
    am_only_scale: float | Array,
    lm_only_scale: float | Array,
) -> tuple[Array, Array]:
    """Scores of the labels (t, u) and of the blanks (t, u + 1) under the sum of two networks."""
    points = language.shape[0]
    written = jnp.ones(points, bool) if label_length is None else inside(label_length + 1, points)
    language = jnp.where(written[:, None], language, 0.0)
    if logit_length is not None:
        acoustic = jnp.where(inside(logit_length, acoustic.shape[0])[:, None], acoustic, 0.0)
    tops = [lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True)) for x in (acoustic, language)]
    acoustic, language = (x - jnp.where(top == -jnp.inf, 0.0, top) for x, top in zip((acoustic, language), tops, strict=True))
    heard, expected = jnp.exp(acoustic), jnp.exp(language)
    tiny = 1e-37

    def log_product(second: Array) -> Array:
        total = jnp.matmul(heard, second, precision=lax.Precision.HIGHEST)
        return jnp.log(jnp.where(total <= tiny, tiny, total))

    normalizer = log_product(expected.T)
    log_total = logsumexp(language, keepdims=True)
    log_language = language - jnp.where(log_total == -jnp.inf, 0.0, log_total)
    average = jnp.where(written[:, None], jnp.exp(log_language), 0.0).sum(0) / jnp.sum(written, dtype=jnp.int32).astype(acoustic.dtype)
    log_average = jnp.log(jnp.where(average <= tiny, tiny, average))
    alone = log_product(average[:, None])

    def blend(heard: Array, expected: Array, log_expected: Array, usual: Array, normalizer: Array) -> Array:
        terms = (
            (1 - am_only_scale - lm_only_scale, heard + expected - normalizer),
            (am_only_scale, heard + usual - alone),
            (lm_only_scale, jnp.broadcast_to(log_expected, normalizer.shape)),
        )
        return sum(scale * jnp.where((score == -jnp.inf) & (scale == 0), 0.0, score) for scale, score in terms)  # type: ignore[return-value]

    labels = index[:-1]
    label = blend(
        acoustic.at[:, labels].get(mode="promise_in_bounds"),
        jax.vmap(_take)(language, index)[None, :-1],
        jax.vmap(_take)(log_language, index)[None, :-1],
        _take(log_average, labels)[None],
        normalizer[:, :-1],
    )
    stay = blend(
        acoustic[:, blank, None], language[None, :, blank], log_language[None, :, blank], log_average[None, blank, None], normalizer
    )
    return label, stay


def _lattice(label_scores: Array, blank_scores: Array, logit_length: Array | None, label_length: Array | None, kind: Kind) -> Array:
    """Minus the log of the total weight of all paths."""
    steps, count = label_scores.shape
    valid = _valid(steps, count, logit_length, label_length)
    if valid is not None:
        blank_scores = jnp.where(valid, blank_scores, LOG_ZERO)
        label_scores = jnp.where(valid[:, 1:], label_scores, LOG_ZERO)
    if kind == "constrained":
        label_scores = label_scores + blank_scores[:, 1:]
    rows = label_scores, blank_scores
    if kind == "regular":
        rows = diagonals(label_scores, steps + count, LOG_ZERO), diagonals(blank_scores, steps + count, LOG_ZERO)
    running: tuple[Array, ...] = ()
    if valid is not None:  # the state stays as it is at the end of the path
        last = jnp.asarray(steps, jnp.int32) if logit_length is None else logit_length
        if kind == "regular":
            last = last + (count if label_length is None else label_length)
        running = (inside(last, rows[0].shape[0]),)

    def step(alpha: Array, row: tuple[Array, ...]) -> Array:
        label, stay, *running = row
        written = jnp.pad(alpha[:-1] + floored(label), (1, 0), constant_values=LOG_ZERO)
        moved = log_add(alpha + floored(stay), written)
        return jnp.where(running[0], moved, alpha) if running else moved

    start = delayed(jnp.full_like(blank_scores, LOG_ZERO, shape=(count + 1,)), 0.0)
    alpha = recursion(step, start, (*rows, *running))
    end = alpha[-1] if label_length is None else pick(alpha, label_length)
    result = jnp.where(end <= LOG_ZERO / 2, jnp.inf, -end)
    return result if logit_length is None else jnp.where((logit_length < 0) | (logit_length > steps), jnp.nan, result)


def _take(x: Array, index: Array) -> Array:
    return jnp.take(x, index, axis=0, mode="clip")
