"""Truths of the losses of ranks, boundaries and topology, by loops over pixels and sets of pixels."""

import itertools

import numpy as np

from tests.oracles import oracle
from tests.oracles.vision.segmentation import pixels


def lovasz(errors, foreground):
    """The Lovasz extension: each error, the largest first, times the growth of the Jaccard loss as its pixel turns wrong."""
    truth, wrong, total, before = {i for i, f in enumerate(foreground) if f}, set(), 0.0, 0.0
    for i in np.argsort(-errors, kind="stable"):
        wrong.add(int(i))
        after = 1 - len(truth - wrong) / len(truth | wrong)
        total, before = total + errors[i] * (after - before), after
    return total


@oracle("nonnegative convex")
def lovasz_hinge(logits, targets, mask=None):
    z, y = pixels(mask, logits, targets)
    signs = np.where(y > 0.5, 1.0, -1.0)
    return lovasz(np.maximum(1 - signs * z, 0), y > 0.5)


@oracle("nonnegative convex")
def lovasz_softmax(probabilities, labels, mask=None):
    p, y = pixels(np.ones(labels.shape) if mask is None else mask, probabilities, labels)
    if np.any((y < 0) | (y >= p.shape[-1])):
        return np.nan
    losses = [lovasz(np.abs((y == c) - p[:, c]), y == c) for c in sorted({int(c) for c in y})]
    return np.mean(losses) if losses else 0.0


@oracle("convex")
def boundary(predictions, distance_map, mask=None):
    p, distance = pixels(mask, predictions, distance_map)
    return np.mean(p * distance) if p.size else 0.0


@oracle("nonnegative convex symmetric zero_at_match", options=[{"alpha": 1.0}, {"alpha": 0.5}], frozen=True)
def hausdorff_dt(predictions, targets, prediction_distances, target_distances, mask=None, alpha=2.0, *, frozen):
    del prediction_distances, target_distances  # constants
    p, y, near, far = pixels(mask, predictions, targets, frozen["prediction_distances"], frozen["target_distances"])
    return np.mean((p - y) ** 2 * (np.abs(near) ** alpha + np.abs(far) ** alpha)) if p.size else 0.0


def everywhere(function, x, corners=False):
    """The minimum, maximum or sum of each pixel and those of its neighbours that exist: along the axes, or the whole block."""
    nothing = {np.min: np.inf, np.max: -np.inf, np.sum: 0.0}[function]
    framed = np.pad(x, 1, constant_values=nothing)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=x.ndim) if corners or np.abs(step).sum() <= 1]
    near = [framed[tuple(slice(1 + s, 1 + s + n) for s, n in zip(step, x.shape, strict=True))] for step in steps]
    return function(near, axis=0)


def thick_errors(rng, batch):
    """Images whose prediction is wrong in a block that survives a few erosions."""
    targets = np.zeros((*batch, 7, 8))
    targets[..., 1:3, 2:5] = 1.0
    predictions = rng.uniform(0.05, 0.3, targets.shape)
    predictions[..., 1:6, 1:7] = rng.uniform(0.85, 0.98, (*batch, 5, 6))
    targets[..., 2, 3] = rng.uniform(0, 0.1, batch)
    mask = rng.uniform(size=targets.shape) < 0.97
    mask[..., 3:6, 3:6] = True
    return {"predictions": predictions, "targets": targets, "mask": mask}


@oracle("nonnegative symmetric zero_at_match", options=[{"alpha": 1.0, "erosions": 1}, {"alpha": 0.0, "erosions": 3}], sample=thick_errors)
def hausdorff_er(predictions, targets, mask=None, alpha=2.0, erosions=10):
    keep = np.ones(predictions.shape, bool) if mask is None else np.asarray(mask, bool)
    error = np.where(keep, (np.where(keep, predictions, 0) - np.where(keep, targets, 0)) ** 2, 0)
    total = 0.0
    for k in range(1, erosions + 1):
        error = everywhere(np.sum, error) / (2 * error.ndim + 1)
        error = np.where(keep, np.maximum(error - 0.5, 0), 0)
        if np.ptp(error) > 0:
            error = (error - error.min()) / np.ptp(error)
        total += k**alpha * (error[keep].mean() if keep.any() else 0.0)
    return total


def skeleton(x, iterations):
    def ridge(x):
        return np.maximum(x - everywhere(np.max, everywhere(np.min, x), corners=True), 0)

    found = ridge(x)
    for _ in range(iterations):
        x = everywhere(np.min, x)
        line = ridge(x)
        found = found + np.maximum(line - found * line, 0)
    return found


@oracle("nonnegative symmetric", options=[{"iterations": 0}, {"iterations": 2, "smooth": 0.1}])
def cldice(predictions, targets, mask=None, iterations=10, smooth=1.0):
    keep = np.ones(predictions.shape, bool) if mask is None else np.asarray(mask, bool)
    p, y = np.where(keep, predictions, 0), np.where(keep, targets, 0)

    def met(line, other):
        return (np.sum(line * other) + smooth) / (np.sum(line) + smooth)

    precision, sensitivity = met(skeleton(p, iterations), y), met(skeleton(y, iterations), p)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)
