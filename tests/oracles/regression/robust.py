"""Robust regression: each named loss in the form its own authors give, and Barron's formula with its limits."""

import math

from tests.oracles import oracle

REDESCENDING = "nonnegative zero_at_match symmetric shift_invariant"
SCALES = [{"scale": 0.5}, {"scale": 3.0}]


@oracle(
    REDESCENDING + " convex",
    options=[
        {"alpha": a, "scale": s}
        for a, s in ((2.0, 1.0), (0.0, 0.5), (-2.0, 3.0), (-math.inf, 2.0), (1.6, 0.7), (0.3, 1.0), (-7.0, 1.0), (3.0, 2.0))
    ],
)
def general_robust(predictions, targets, alpha=1.0, scale=1.0):
    square = (float(predictions - targets) / scale) ** 2
    if alpha == 2:
        return square / 2
    if alpha == 0:
        return math.log1p(square / 2)
    if alpha == -math.inf:
        return -math.expm1(-square / 2)
    width = abs(alpha - 2)
    return width / alpha * math.expm1(alpha / 2 * math.log1p(square / width))


@oracle(REDESCENDING, options=SCALES)
def cauchy(predictions, targets, scale=1.0):
    return math.log1p(((predictions - targets) / scale) ** 2 / 2)


@oracle(REDESCENDING, options=SCALES)
def geman_mcclure(predictions, targets, scale=1.0):
    square = ((predictions - targets) / (2 * scale)) ** 2
    return 2 * square / (1 + square)


@oracle(REDESCENDING, options=SCALES)
def welsch(predictions, targets, scale=1.0):
    return -math.expm1(-(((predictions - targets) / scale) ** 2) / 2)


@oracle(REDESCENDING, options=[{"scale": 1.0}, {"scale": 2.0}])
def tukey_biweight(predictions, targets, scale=4.685):
    error = abs(predictions - targets)
    if error >= scale:
        return scale**2 / 6
    return error**2 / 2 - error**4 / (2 * scale**2) + error**6 / (6 * scale**4)
