"""Boxes, measured as plane figures: sets of points between corners, by interval arithmetic in float64."""

import math

import numpy as np

from tests.oracles import oracle


class Box:
    """A rectangle with its corners in order, or the empty set."""

    def __init__(self, corners):
        self.x0, self.y0, self.x1, self.y1 = (float(v) for v in corners)
        self.w, self.h = self.x1 - self.x0, self.y1 - self.y0
        self.center = ((self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2)

    @property
    def area(self):
        return self.w * self.h if self.w > 0 and self.h > 0 else 0.0

    def overlap(self, other):
        w = min(self.x1, other.x1) - max(self.x0, other.x0)
        h = min(self.y1, other.y1) - max(self.y0, other.y0)
        return w * h if w > 0 and h > 0 else 0.0

    def iou(self, other):
        both = self.overlap(other)
        either = self.area + other.area - both
        return both / either if either else 0.0

    def hull(self, other):
        xs = (self.x0, self.x1, other.x0, other.x1)
        ys = (self.y0, self.y1, other.y0, other.y1)
        return Box((min(xs), min(ys), max(xs), max(ys)))

    def center_term(self, other):
        """Squared distance of the centres over the squared diagonal of the hull."""
        hull = self.hull(other)
        diagonal = hull.w**2 + hull.h**2
        return (math.dist(self.center, other.center) ** 2) / diagonal if diagonal else 0.0

    def angle(self, other):
        """Between the diagonals, from the dot product and its complement."""
        if (self.w == 0 and self.h == 0) or (other.w == 0 and other.h == 0):
            return 0.0
        turned = abs(math.atan2(self.w, self.h) - math.atan2(other.w, other.h))
        return min(turned, 2 * math.pi - turned)


def pair(predictions, targets):
    return Box(predictions), Box(targets)


def ciou_weight(p, t):
    v = 4 / math.pi**2 * p.angle(t) ** 2
    return v / (1 - p.iou(t) + v) if v else 0.0


@oracle("nonnegative zero_at_match symmetric")
def iou(predictions, targets):
    p, t = pair(predictions, targets)
    return 1 - p.iou(t)


@oracle("nonnegative zero_at_match symmetric", options=[{"epsilon": 0.5}])
def log_iou(predictions, targets, epsilon=1e-6):
    p, t = pair(predictions, targets)
    return -np.log(max(p.iou(t), epsilon))


@oracle("nonnegative zero_at_match symmetric")
def giou(predictions, targets):
    p, t = pair(predictions, targets)
    hull = p.hull(t).area
    return 1 - p.iou(t) + ((hull - p.area - t.area + p.overlap(t)) / hull if hull else 0.0)


@oracle("nonnegative zero_at_match symmetric")
def diou(predictions, targets):
    p, t = pair(predictions, targets)
    return 1 - p.iou(t) + p.center_term(t)


@oracle("nonnegative zero_at_match symmetric", options=[{"gated": True}], frozen=True)
def ciou(predictions, targets, gated=False, frozen=None):
    p, t = pair(predictions, targets)
    stopped = pair(frozen["predictions"], frozen["targets"])
    weight = ciou_weight(*stopped) if not gated or stopped[0].iou(stopped[1]) > 0.5 else 0.0
    return diou(predictions, targets) + weight * 4 / math.pi**2 * p.angle(t) ** 2
