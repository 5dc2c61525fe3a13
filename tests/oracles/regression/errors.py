"""Elementwise regression, from the definitions."""

import math

from tests.oracles import oracle

CONVEX = "nonnegative zero_at_match symmetric convex shift_invariant"


@oracle(CONVEX)
def absolute_error(predictions, targets):
    return abs(predictions - targets)


@oracle(CONVEX)
def squared_error(predictions, targets):
    return (predictions - targets) ** 2


@oracle(CONVEX, options=[{"delta": 0.5}, {"delta": 3.0}])
def huber(predictions, targets, delta=1.0):
    error = abs(predictions - targets)
    return error**2 / 2 if error <= delta else delta * (error - delta / 2)


@oracle(CONVEX, options=[{"beta": 0.3}, {"beta": 2.0}])
def smooth_l1(predictions, targets, beta=1.0):
    error = abs(predictions - targets)
    return error**2 / (2 * beta) if error < beta else error - beta / 2


@oracle(CONVEX, options=[{"delta": 0.3}, {"delta": 2.0}])
def pseudo_huber(predictions, targets, delta=1.0):
    return delta * (math.hypot(delta, predictions - targets) - delta)


@oracle("nonnegative symmetric convex shift_invariant", options=[{"epsilon": 0.5}])
def charbonnier(predictions, targets, epsilon=1e-3):
    return math.hypot(predictions - targets, epsilon)


@oracle(CONVEX)
def log_cosh(predictions, targets):
    error = abs(float(predictions - targets))
    return math.log(math.cosh(error)) if 1e-2 < error < 300 else error**2 / 2 - error**4 / 12 if error <= 1e-2 else error - math.log(2)


@oracle(CONVEX, options=[{"q": 0.9}, {"q": 0.05}])
def quantile(predictions, targets, q=0.5):
    return q * (targets - predictions) if targets > predictions else (1 - q) * (predictions - targets)


@oracle(CONVEX, options=[{"q": 0.9}, {"q": 0.05}])
def expectile(predictions, targets, q=0.5):
    return (q if targets > predictions else 1 - q) * (targets - predictions) ** 2


@oracle("nonnegative zero_at_match symmetric")
def squared_log_error(predictions, targets):
    return math.log((1 + predictions) / (1 + targets)) ** 2


@oracle("nonnegative zero_at_match convex", options=[{"epsilon": 1.0}])
def absolute_percentage_error(predictions, targets, epsilon=1e-7):
    return abs(predictions - targets) / max(abs(targets), epsilon)


@oracle("nonnegative zero_at_match symmetric", options=[{"epsilon": 1.0}])
def symmetric_absolute_percentage_error(predictions, targets, epsilon=1e-7):
    return 2 * abs(predictions - targets) / max(abs(predictions) + abs(targets), 2 * epsilon)


@oracle(CONVEX, options=[{"epsilon": 0.7}, {"epsilon": 0.0}])
def epsilon_insensitive(predictions, targets, epsilon=0.1):
    error = abs(predictions - targets)
    return 0.0 if error <= epsilon else error - epsilon


@oracle(CONVEX, options=[{"epsilon": 0.7}, {"epsilon": 0.0}])
def squared_epsilon_insensitive(predictions, targets, epsilon=0.1):
    return epsilon_insensitive(predictions, targets, epsilon) ** 2


@oracle("nonnegative zero_at_match convex shift_invariant", options=[{"a": -0.7}, {"a": 1.5}])
def linex(predictions, targets, a=1.0):
    x = a * float(predictions - targets)
    if abs(x) < 1e-3:
        return x**2 / 2 + x**3 / 6 + x**4 / 24
    return (math.exp(x) if x < 700 else math.inf) - x - 1


@oracle("zero_at_match convex shift_invariant")
def bias_error(predictions, targets):
    return predictions - targets
