"""Transducers by enumeration of all paths."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.sequence.recognition import lengths, log_softmax, total


def paths(t, u, kind, at=(0, 0)):
    """Every path as a list of moves (t, s, is_label)."""
    if at == (t, u):
        yield []
    if at[0] == t:
        return
    after = at[0] if kind == "regular" else at[0] + 1
    moves = [(True, (after, at[1] + 1))] if at[1] < u else []
    for is_label, to in [*moves, (False, (at[0] + 1, at[1]))]:
        for rest in paths(t, u, kind, to):
            yield [(*at, is_label), *rest]


def minus_log_total(label, blank, t, u, kind):
    """Of functions (t, s) -> score."""
    sums = []
    for path in paths(t, u, kind):
        score = 0.0
        for step, written, is_label in path:
            score += label(step, written) if is_label else blank(step, written)
            if is_label and kind == "constrained":
                score += blank(step, written + 1)
        sums.append(score)
    return -total(sums)


def clip(loss):
    return 0.0 if loss < 0 else loss


def bad(labels, u, classes, blank):
    return any(not 0 <= c < classes or c == blank % classes for c in labels[:u])


def sizes(logit_length, t, label_length, u):
    return lengths(logit_length, t), lengths(label_length, u)


def draw_lengths(rng, batch, t, u):
    return {
        "logit_length": rng.integers(2, t + 1, batch).astype(np.int32),
        "label_length": rng.integers(1, u + 1, batch).astype(np.int32),
    }


def draw_labels(rng, batch, u, k):
    return rng.integers(1, k, (*batch, u)).astype(np.int32)


KINDS = [{"kind": "modified"}, {"kind": "constrained"}]


def draw_rnnt(rng, batch):
    return {"logits": rng.normal(size=(*batch, 4, 3, 4)), "labels": draw_labels(rng, batch, 2, 4), **draw_lengths(rng, batch, 4, 2)}


@oracle("nonnegative shift_invariant", options=KINDS, sample=draw_rnnt)
def rnnt(logits, labels, logit_length=None, label_length=None, blank=0, kind="regular"):
    t, u = sizes(logit_length, logits.shape[0], label_length, len(labels))
    if t is None or u is None or bad(labels, u, logits.shape[-1], blank):
        return np.nan
    log_probs = log_softmax(logits[:t])
    return clip(minus_log_total(lambda i, s: log_probs[i, s, labels[s]], lambda i, s: log_probs[i, s, blank], t, u, kind))


def draw_lattice(rng, batch):
    return {
        "label_scores": rng.normal(size=(*batch, 4, 2)),
        "blank_scores": rng.normal(size=(*batch, 4, 3)),
        **draw_lengths(rng, batch, 4, 2),
    }


@oracle(options=KINDS, sample=draw_lattice)
def rnnt_lattice(label_scores, blank_scores, logit_length=None, label_length=None, kind="regular"):
    t, u = sizes(logit_length, label_scores.shape[0], label_length, label_scores.shape[1])
    if t is None or u is None:
        return np.nan
    return minus_log_total(lambda i, s: label_scores[i, s], lambda i, s: blank_scores[i, s], t, u, kind)


def draw_simple(rng, batch):
    return {
        "acoustic": rng.normal(size=(*batch, 4, 4)),
        "language": rng.normal(size=(*batch, 3, 4)),
        "labels": draw_labels(rng, batch, 2, 4),
        **draw_lengths(rng, batch, 4, 2),
    }


@oracle(
    "nonnegative shift_invariant",
    options=[*KINDS, {"am_only_scale": 0.1, "lm_only_scale": 0.25}, {"lm_only_scale": 1.0}],
    sample=draw_simple,
)
def rnnt_simple(
    acoustic, language, labels, logit_length=None, label_length=None, blank=0, am_only_scale=0.0, lm_only_scale=0.0, kind="regular"
):
    t, u = sizes(logit_length, len(acoustic), label_length, len(labels))
    if t is None or u is None or bad(labels, u, acoustic.shape[-1], blank):
        return np.nan
    joint = acoustic[:t, None] + language[None, : u + 1]
    floor = acoustic[:t, None].max(-1) + language[None, : u + 1].max(-1) + np.log(1e-37)  # as documented
    joint = joint - np.maximum(np.log(np.exp(joint - joint.max(-1, keepdims=True)).sum(-1)) + joint.max(-1), floor)[..., None]
    language_only = log_softmax(language[: u + 1])
    usual = np.log(np.exp(language_only).mean(0))
    acoustic_only = log_softmax(acoustic[:t] + usual)
    shares = 1 - am_only_scale - lm_only_scale, am_only_scale, lm_only_scale

    def score(i, s, c):
        terms = joint[i, s, c], acoustic_only[i, c], language_only[s, c]
        return sum(share * term for share, term in zip(shares, terms, strict=True) if share)

    return clip(minus_log_total(lambda i, s: score(i, s, labels[s]), lambda i, s: score(i, s, blank), t, u, kind))


def draw_pruned(rng, batch):
    starts = np.sort(rng.integers(0, 2, (*batch, 4)), axis=-1)
    starts[..., :2] = 0
    drawn = {
        "logits": rng.normal(size=(*batch, 4, 2, 4)),
        "starts": starts.astype(np.int32),
        "labels": draw_labels(rng, batch, 2, 4),
    }
    return {**drawn, "logit_length": np.full(batch, 4, np.int32), "label_length": (1 + starts[..., -1]).astype(np.int32)}


@oracle("nonnegative shift_invariant", options=[{"kind": "modified"}], sample=draw_pruned)
def rnnt_pruned(logits, starts, labels, logit_length=None, label_length=None, blank=0, kind="regular"):
    t, u = sizes(logit_length, logits.shape[0], label_length, len(labels))
    if t is None or u is None or bad(labels, u, logits.shape[-1], blank):
        return np.nan
    log_probs = log_softmax(logits[:t])

    def at(i, s, c):
        return log_probs[i, s - starts[i], c] if 0 <= s - starts[i] < logits.shape[1] else -np.inf

    return clip(minus_log_total(lambda i, s: at(i, s, labels[s]), lambda i, s: at(i, s, blank), t, u, kind))
