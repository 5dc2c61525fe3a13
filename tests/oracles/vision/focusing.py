"""Focusing: the plane figures of `boxes`, weighted by what the prediction's frozen overlap says."""

import math

from tests.oracles import oracle
from tests.oracles.vision.boxes import Box, ciou_weight, eiou, pair


@oracle("nonnegative zero_at_match symmetric", options=[{"gamma": 2.0}], frozen=True)
def focal_eiou(predictions, targets, gamma=0.5, frozen=None):
    p, t = pair(frozen["predictions"], frozen["targets"])
    return p.iou(t) ** gamma * eiou(predictions, targets)


@oracle(
    "nonnegative zero_at_match symmetric",
    options=[{"alpha": 2.0, "base": "giou"}, {"alpha": 0.7, "base": "diou"}, {"alpha": 1.0, "base": "ciou"}, {"base": "ciou"}],
    frozen=True,
)
def alpha_iou(predictions, targets, alpha=3.0, base="iou", frozen=None):
    p, t = pair(predictions, targets)
    value = 1 - p.iou(t) ** alpha
    if base == "giou":
        hull = p.hull(t).area
        value += ((hull - p.area - t.area + p.overlap(t)) / hull) ** alpha
    if base in ("diou", "ciou"):
        value += p.center_term(t) ** alpha
    if base == "ciou":
        weight = ciou_weight(*pair(frozen["predictions"], frozen["targets"]))
        value += min(weight * 4 / math.pi**2 * p.angle(t) ** 2, 1.0) ** alpha
    return value


@oracle("nonnegative zero_at_match symmetric", frozen=True)
def wiou_v1(predictions, targets, frozen=None):
    p, t = pair(predictions, targets)
    hull = Box(frozen["predictions"]).hull(Box(frozen["targets"]))
    diagonal = hull.w**2 + hull.h**2
    return math.exp(math.dist(p.center, t.center) ** 2 / diagonal if diagonal else 0.0) * (1 - p.iou(t))
