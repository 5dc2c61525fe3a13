"""Truths of the overlap losses: counts over the pixels of one pair of masks."""

import numpy as np

from tests.oracles import oracle

SMOOTHING = [{"smooth_numerator": 0.5, "smooth_denominator": 2.0}, {"smooth_numerator": 0.0, "smooth_denominator": 1.0}]
BARE = {"smooth_numerator": 0.0, "smooth_denominator": 0.0}
UNEVEN = {"fp_weight": 0.3, "fn_weight": 0.7}


def pixels(mask, *arrays):
    """The kept pixels of each array, in a row (of vectors, for arrays with a class axis)."""
    keep = np.ones(np.shape(arrays[0]), bool) if mask is None else np.asarray(mask, bool)
    return [np.asarray(a, np.float64)[keep] for a in arrays]


def counts(predictions, targets, mask, soft_labels=False):
    """True positives, false positives, false negatives, pixel by pixel."""
    p, y = pixels(mask, predictions, targets)
    tp = fp = fn = 0.0
    for a, b in zip(p, y, strict=True):
        both = min(a, b) if soft_labels else a * b
        tp, fp, fn = tp + both, fp + a - both, fn + b - both
    return tp, fp, fn


def index(tp, weighted, smooth_numerator, smooth_denominator):
    """An overlap index; that of two empty masks without smoothing is 1."""
    below = tp + weighted + smooth_denominator
    return (tp + smooth_numerator) / below if below else 1.0


@oracle("nonnegative symmetric", options=[*SMOOTHING, {"squared": True}, {"soft_labels": True}, BARE])
def dice(predictions, targets, mask=None, smooth_numerator=1e-5, smooth_denominator=1e-5, squared=False, soft_labels=False):
    p, y = pixels(mask, predictions, targets)
    if squared:
        overlap, total = 2 * np.sum(p * y), np.sum(p**2) + np.sum(y**2)
    else:
        overlap, total = 2 * np.sum(np.minimum(p, y) if soft_labels else p * y), np.sum(p) + np.sum(y)
    return 1 - index(overlap, total - overlap, smooth_numerator, smooth_denominator)


@oracle("nonnegative symmetric", options=[*SMOOTHING, {"soft_labels": True}])
def jaccard(predictions, targets, mask=None, smooth_numerator=1e-5, smooth_denominator=1e-5, soft_labels=False):
    tp, fp, fn = counts(predictions, targets, mask, soft_labels)
    return 1 - index(tp, fp + fn, smooth_numerator, smooth_denominator)


@oracle("nonnegative symmetric", options=[*SMOOTHING, UNEVEN, {"fp_weight": 1.0, "fn_weight": 0.1, "soft_labels": True}])
def tversky(
    predictions, targets, mask=None, fp_weight=0.5, fn_weight=0.5, smooth_numerator=1e-5, smooth_denominator=1e-5, soft_labels=False
):
    tp, fp, fn = counts(predictions, targets, mask, soft_labels)
    return 1 - index(tp, fp_weight * fp + fn_weight * fn, smooth_numerator, smooth_denominator)


@oracle("nonnegative", options=[*SMOOTHING, {"gamma": 2.0}, {"fp_weight": 1.0, "fn_weight": 0.4, "gamma": 1.0}])
def focal_tversky(
    predictions, targets, mask=None, fp_weight=0.3, fn_weight=0.7, gamma=0.75, smooth_numerator=1e-5, smooth_denominator=1e-5
):
    tp, fp, fn = counts(predictions, targets, mask)
    return max(1 - index(tp, fp_weight * fp + fn_weight * fn, smooth_numerator, smooth_denominator), 0.0) ** gamma


@oracle("nonnegative symmetric", options=SMOOTHING[:1])
def log_dice(predictions, targets, mask=None, smooth_numerator=1e-5, smooth_denominator=1e-5):
    tp, fp, fn = counts(predictions, targets, mask)
    overlap = index(2 * tp, fp + fn, smooth_numerator, smooth_denominator)
    return -np.log(overlap) if overlap else np.inf


@oracle("nonnegative symmetric", options=SMOOTHING)
def log_cosh_dice(predictions, targets, mask=None, smooth_numerator=1e-5, smooth_denominator=1e-5):
    tp, fp, fn = counts(predictions, targets, mask)
    return np.log(np.cosh(1 - index(2 * tp, fp + fn, smooth_numerator, smooth_denominator)))


@oracle("nonnegative symmetric")
def mcc(predictions, targets, mask=None):
    p, y = pixels(mask, predictions, targets)
    if not p.size:
        return 1.0
    tp, fp, fn, tn = np.sum(p * y), np.sum(p * (1 - y)), np.sum((1 - p) * y), np.sum((1 - p) * (1 - y))
    spread = np.sqrt(np.sum(p) * np.sum(y) * np.sum(1 - p) * np.sum(1 - y))
    return 1 - (tp * tn - fp * fn) / spread if spread else 1.0


def logs(p):
    return np.log(np.maximum(p, 1e-7))


@oracle("nonnegative", options=[*SMOOTHING, {"weighting": "simple"}, {"weighting": "uniform"}], frozen=True)
def generalized_dice(predictions, targets, mask=None, weighting="square", smooth_numerator=1e-5, smooth_denominator=1e-5, *, frozen):
    p, y, constant = pixels(np.ones(np.shape(predictions)[:-1]) if mask is None else mask, predictions, targets, frozen["targets"])
    size = constant.sum(axis=0)
    with np.errstate(divide="ignore"):
        weights = {"square": 1 / size**2, "simple": 1 / size, "uniform": np.ones_like(size)}[weighting]
    finite = np.isfinite(weights)
    largest = np.max(weights[finite], initial=0.0) or 1.0
    weights = np.where(finite, weights, largest) / largest  # the scale matters to the smoothing alone
    overlap, total = 2 * np.sum(weights * (p * y).sum(axis=0)), np.sum(weights * (p + y).sum(axis=0))
    return 1 - index(overlap, total - overlap, smooth_numerator, smooth_denominator)


@oracle("", options=[*SMOOTHING, {"background": 3}])
def wasserstein_dice(probabilities, targets, distances, mask=None, background=0, smooth_numerator=1e-5, smooth_denominator=1e-5):
    p, y = pixels(np.ones(np.shape(targets)[:-1]) if mask is None else mask, probabilities, targets)
    hit = missed = 0.0
    for a, b in zip(p, y, strict=True):
        cost = sum(b[m] * distances[m, c] * a[c] for m in range(len(b)) for c in range(len(a)))
        missed += cost
        hit += sum((1 - cost) * b[m] for m in range(len(b)) if m != background)
    return 1 - index(2 * hit, missed, smooth_numerator, smooth_denominator)
