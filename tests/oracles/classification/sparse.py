"""Fenchel-Young losses: the maximum over the simplex, with the threshold found by bisection."""

from tests.oracles import oracle


def threshold(mass, low, high):
    """Where the decreasing `mass` is 1."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if mass(middle) > 1 else (low, middle)
    return 0.5 * (low + high)


@oracle("nonnegative convex shift_invariant")
def sparsemax(logits, labels):
    tau = threshold(lambda t: sum(max(v - t, 0.0) for v in logits), max(logits) - 1, max(logits))
    p = [max(v - tau, 0.0) for v in logits]
    return sum(a * (v - logits[labels]) for a, v in zip(p, logits, strict=True)) - 0.5 * sum(a * a for a in p) + 0.5


@oracle("nonnegative convex shift_invariant")
def entmax15(logits, labels):
    tau = threshold(lambda t: sum(max(v / 2 - t, 0.0) ** 2 for v in logits), max(logits) / 2 - 1, max(logits) / 2)
    p = [max(v / 2 - tau, 0.0) ** 2 for v in logits]
    return sum(a * (v - logits[labels]) for a, v in zip(p, logits, strict=True)) + 4 / 3 * (1 - sum(a**1.5 for a in p))
