"""Truths of the overlap losses: counts over the pixels of one pair of masks."""

import numpy as np

from tests.oracles import oracle

SMOOTHING = [{"smooth_numerator": 0.5, "smooth_denominator": 2.0}, {"smooth_numerator": 0.0, "smooth_denominator": 1.0}]


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


@oracle("nonnegative symmetric", options=[*SMOOTHING, {"squared": True}, {"soft_labels": True}, {"smooth_numerator": 0.0, "smooth_denominator": 0.0}])
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


@oracle("nonnegative symmetric", options=[*SMOOTHING, {"fp_weight": 0.3, "fn_weight": 0.7}, {"fp_weight": 1.0, "fn_weight": 0.1, "soft_labels": True}])
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
