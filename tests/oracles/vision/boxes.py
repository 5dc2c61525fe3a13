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


def gap(a, b):
    """|a - b| over the longer of two sides."""
    longest = max(abs(a), abs(b))
    return abs(a - b) / longest if longest else 0.0


def ratio(a, b):
    return a / b if b else 0.0


def scaled(box, factor):
    (cx, cy), w, h = box.center, box.w * factor / 2, box.h * factor / 2
    return Box((cx - w, cy - h, cx + w, cy + h))


@oracle("nonnegative zero_at_match symmetric")
def eiou(predictions, targets):
    p, t = pair(predictions, targets)
    hull = p.hull(t)
    return diou(predictions, targets) + ratio((p.w - t.w) ** 2, hull.w**2) + ratio((p.h - t.h) ** 2, hull.h**2)


@oracle("nonnegative zero_at_match symmetric", options=[{"theta": 2.0}, {"theta": 6.0}])
def siou(predictions, targets, theta=4.0):
    p, t = pair(predictions, targets)
    hull = p.hull(t)
    dx, dy = p.center[0] - t.center[0], p.center[1] - t.center[1]
    far = math.hypot(dx, dy)
    angle_cost = math.sin(2 * math.asin(min(1.0, abs(dx) / far))) if far else 0.0
    distance = sum(1 - math.exp(-(2 - angle_cost) * ratio(d, c) ** 2) for d, c in ((dx, hull.w), (dy, hull.h)))
    shape = sum((1 - math.exp(-gap(a, b))) ** theta for a, b in ((p.w, t.w), (p.h, t.h)))
    return 1 - p.iou(t) + (distance + shape) / 2


def with_image(rng, batch):
    def boxes():
        corner, size = rng.uniform(0, 1, (*batch, 2)), rng.uniform(0.4, 1.5, (*batch, 2))
        return np.concatenate([corner, corner + size], axis=-1)

    return {"predictions": boxes(), "targets": boxes(), "image_size": rng.uniform(2, 4, (*batch, 2))}


@oracle("nonnegative zero_at_match symmetric", sample=with_image)
def mpdiou(predictions, targets, image_size):
    p, t = pair(predictions, targets)
    first = math.dist((p.x0, p.y0), (t.x0, t.y0)) ** 2
    second = math.dist((p.x1, p.y1), (t.x1, t.y1)) ** 2
    height, width = image_size
    return 1 - p.iou(t) + (first + second) / (height**2 + width**2)


@oracle("nonnegative zero_at_match symmetric", options=[{"ratio": 1.3}])
def inner_iou(predictions, targets, ratio=0.8):
    p, t = pair(predictions, targets)
    return 1 - scaled(p, ratio).iou(scaled(t, ratio))


@oracle("nonnegative zero_at_match symmetric", options=[{"scale": 0.5}, {"scale": 2.0}])
def shape_iou(predictions, targets, scale=0.0):
    p, t = pair(predictions, targets)
    along_y = along_x = 1.0
    if t.w > 0 and t.h > 0:
        along_y = 2 * t.w**scale / (t.w**scale + t.h**scale)
        along_x = 2 * t.h**scale / (t.w**scale + t.h**scale)
    hull = p.hull(t)
    dx, dy = p.center[0] - t.center[0], p.center[1] - t.center[1]
    distance = ratio(along_x * dx**2 + along_y * dy**2, hull.w**2 + hull.h**2)
    shape = (1 - math.exp(-along_x * gap(p.w, t.w))) ** 4 + (1 - math.exp(-along_y * gap(p.h, t.h))) ** 4
    return 1 - p.iou(t) + distance + shape / 2


@oracle("nonnegative zero_at_match symmetric", options=[{"constant": 1.0}])
def nwd(predictions, targets, constant=12.8):
    p, t = pair(predictions, targets)
    return 1 - math.exp(-math.dist((*p.center, p.w / 2, p.h / 2), (*t.center, t.w / 2, t.h / 2)) / constant)
