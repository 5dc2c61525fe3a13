"""Margin losses, pair by pair."""

import math

from tests.oracles import oracle


@oracle("nonnegative convex", options=[{"margin": 0.3}])
def hinge(scores, signs, margin=1.0):
    return max(0.0, margin - signs * scores)


@oracle("nonnegative convex")
def squared_hinge(scores, signs):
    return max(0.0, 1 - signs * scores) ** 2


@oracle("nonnegative convex")
def perceptron(scores, signs):
    return 0.0 if scores * signs >= 0 else abs(scores)


@oracle("nonnegative convex")
def exponential(scores, signs):
    return math.exp(-signs * scores) if -signs * scores < 700 else math.inf


@oracle("nonnegative convex")
def logistic(scores, signs):
    z = float(signs * scores)
    return math.log1p(math.exp(-z)) if z > -30 else -z + math.exp(z)


def others(scores, labels):
    return [float(s) for j, s in enumerate(scores) if j != labels]


@oracle("nonnegative convex shift_invariant", options=[{"margin": 0.3}])
def multiclass_hinge(scores, labels, margin=1.0):
    return max(0.0, *(margin + s - scores[labels] for s in others(scores, labels)))


@oracle("nonnegative convex shift_invariant")
def multiclass_perceptron(scores, labels):
    return max(float(s) for s in scores) - scores[labels]


@oracle("nonnegative convex", options=[{"margin": 0.3}])
def categorical_hinge(scores, labels, margin=1.0):
    onehot = [float(j == labels) for j in range(len(scores))]
    right = sum(t * s for t, s in zip(onehot, scores, strict=True))
    wrong = max((1 - t) * s for t, s in zip(onehot, scores, strict=True))
    return max(0.0, wrong - right + margin)


@oracle("nonnegative convex shift_invariant", options=[{"margin": 0.3}, {"p": 2}, {"p": 2, "margin": 2.0}])
def multi_margin(scores, labels, p=1, margin=1.0):
    return sum(max(0.0, margin - scores[labels] + s) ** p for s in others(scores, labels)) / len(scores)


@oracle("nonnegative convex shift_invariant")
def multilabel_margin(scores, targets):
    holding = [s for s, t in zip(scores, targets, strict=True) if t]
    failing = [s for s, t in zip(scores, targets, strict=True) if not t]
    return sum(max(0.0, 1 - (j - i)) for j in holding for i in failing) / len(scores)


@oracle("nonnegative convex")
def multilabel_soft_margin(logits, targets):
    total = 0.0
    for z, t in zip(logits, targets, strict=True):
        total += t * logistic(z, 1) + (1 - t) * logistic(z, -1)
    return total / len(logits)


@oracle("nonnegative zero_at_match convex shift_invariant", options=[{"margin": 0.5}])
def margin_ranking(first, second, signs, margin=0.0):
    lead = first - second if signs > 0 else second - first
    return max(0.0, margin - lead)


@oracle("nonnegative", options=[{"margin": 0.7}, {"margin": 2.0}])
def hinge_embedding(distances, signs, margin=1.0):
    return distances if signs > 0 else max(0.0, margin - distances)
