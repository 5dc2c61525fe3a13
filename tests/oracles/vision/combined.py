"""Overlap and cross entropy in one loss."""

import numpy as np

from tests.oracles import oracle
from tests.oracles.vision.segmentation import SMOOTHING, dice, logs, pixels, tversky


# Not a theorem: the cross entropy outweighs the concave parts of the overlap wherever a mask has more than a few pixels.
@oracle("nonnegative convex", options=[*SMOOTHING, {"alpha": 0.8, "ce_ratio": 0.3}, {"alpha": 0.1, "ce_ratio": 1.0}])
def combo(predictions, targets, mask=None, alpha=0.5, ce_ratio=0.5, smooth_numerator=1e-5, smooth_denominator=1e-5):
    p, y = pixels(mask, predictions, targets)
    entropy = -np.mean(alpha * y * logs(p) + (1 - alpha) * (1 - y) * logs(1 - p)) if p.size else 0.0
    return ce_ratio * entropy + (1 - ce_ratio) * dice(predictions, targets, mask, smooth_numerator, smooth_denominator)


@oracle("nonnegative convex", options=[*SMOOTHING, {"weight": 0.2, "delta": 0.8, "gamma": 0.2}, {"weight": 1.0, "gamma": 0.0}])
def unified_focal(predictions, targets, mask=None, weight=0.5, delta=0.6, gamma=0.5, smooth_numerator=1e-5, smooth_denominator=1e-5):
    p, y = pixels(mask, predictions, targets)
    focal = -np.mean(delta * y * logs(p) + (1 - delta) * (1 - y) * np.maximum(p, 1e-7) ** gamma * logs(1 - p)) if p.size else 0.0
    fore = tversky(p, y, None, 1 - delta, delta, smooth_numerator, smooth_denominator)
    back = tversky(1 - p, 1 - y, None, 1 - delta, delta, smooth_numerator, smooth_denominator)
    return weight * focal + (1 - weight) * (back + max(fore, 0.0) ** (1 - gamma)) / 2
