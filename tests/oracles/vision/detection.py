"""Detection: bins, scores and sets, with scipy's assignment."""

import math

import numpy as np

from tests.oracles import Undetermined, oracle
from tests.oracles.vision.boxes import giou


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def log_sigmoid(z):
    return -math.log1p(math.exp(-z)) if z > 0 else z - math.log1p(math.exp(z))


def log_softmax(row):
    top = np.max(row)
    return row - top - np.log(np.sum(np.exp(row - top)))


def binary(z, q):
    return -(q * log_sigmoid(z) if q else 0.0) - ((1 - q) * log_sigmoid(-z) if q != 1 else 0.0)


def bins(rng, batch):
    return {"logits": rng.normal(size=(*batch, 6)), "targets": rng.uniform(0.1, 4.9, batch)}


@oracle("nonnegative convex shift_invariant", frozen=True, sample=bins)
def distribution_focal(logits, targets, frozen=None):
    last = len(logits) - 1
    place = min(max(float(frozen["targets"]), 0.0), last)
    below = min(math.floor(place), last - 1)
    logs = log_softmax(logits)
    return -(below + 1 - place) * logs[below] - (place - below) * logs[below + 1]


@oracle("nonnegative", options=[{"beta": 1.5}])
def quality_focal(logits, quality, beta=2.0):
    z, q = float(logits), float(quality)
    return abs(q - sigmoid(z)) ** beta * binary(z, q)


def scores(rng, batch):
    """A quality of 0 is another branch, behind a jump: it comes in large batches, whose gradients are not compared."""
    quality = rng.uniform(0.05, 0.95, batch)
    return {"logits": 4 * rng.normal(size=batch), "quality": np.where(np.arange(quality.size).reshape(batch) < 8, quality, 0.0)}


@oracle("nonnegative", options=[{"alpha": 0.25, "gamma": 1.5}], sample=scores)
def varifocal(logits, quality, alpha=0.75, gamma=2.0):
    z, q = float(logits), float(quality)
    return q * binary(z, q) if q > 0 else alpha * sigmoid(z) ** gamma * binary(z, 0.0)


def center_size(box):
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]])


@oracle(
    "nonnegative shift_invariant",
    options=[{"class_cost": 2.0, "box_cost": 1.0, "giou_cost": 0.5, "no_object_weight": 0.4}, {"boxes_per_image": 2.5}],
)
def detr(
    class_logits,
    boxes,
    labels,
    target_boxes,
    target_mask=None,
    class_cost=1.0,
    box_cost=5.0,
    giou_cost=2.0,
    no_object_weight=0.1,
    boxes_per_image=0.0,
):
    from scipy.optimize import linear_sum_assignment

    n, k = class_logits.shape
    real = [j for j in range(len(labels)) if target_mask is None or target_mask[j]]
    logs = np.stack([log_softmax(row) for row in class_logits])

    def box_terms(i, j):
        apart = np.sum(np.abs(center_size(boxes[i]) - center_size(target_boxes[j])))
        return box_cost * apart + giou_cost * giou(boxes[i], target_boxes[j])

    cost = np.array([[box_terms(i, j) - class_cost * np.exp(logs[i, labels[j]]) for j in real] for i in range(n)]).reshape(n, len(real))

    def total(cost):
        chosen = list(zip(*linear_sum_assignment(cost), strict=True))
        classes, weights = np.full(n, k - 1), np.full(n, no_object_weight)
        for i, j in chosen:
            classes[i], weights[i] = labels[real[j]], 1.0
        class_term = -np.sum(weights * logs[np.arange(n), classes]) / np.sum(weights)
        return class_cost * class_term + sum(box_terms(i, real[j]) for i, j in chosen) / (boxes_per_image or max(1, len(real)))

    noise = np.random.default_rng(0).normal(size=(8, *cost.shape)) * 1e-5 * (1 + np.abs(cost))
    answers = [total(cost), *(total(cost + n) for n in noise)]
    if np.ptp(answers) > 1e-6 * (1 + abs(answers[0])):
        raise Undetermined("two assignments cost the same")
    return answers[0]
