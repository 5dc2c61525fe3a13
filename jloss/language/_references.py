"""What the log-probabilities of a policy are compared with."""

from typing import Any

import numpy as np
from jax import Array, lax


def over_reference(log_probs: Array, reference: Array | None) -> Array:
    """The log-ratio to a reference, which is a constant; without one the log-probability itself."""
    return log_probs if reference is None else log_probs - lax.stop_gradient(reference)


def both_or_neither(name: str, given: dict[str, Any]) -> None:
    """Raises where one response is compared with its reference and the other with 0."""
    names = "reference_chosen", "reference_rejected"
    missing = [n for n in names if given.get(n) is None]
    if len(missing) == 1:
        (there,) = {*names} - {*missing}
        raise ValueError(f"{name}: `{missing[0]}` is missing beside `{there}`; give both, or neither for a reference of 0.")


def smoothing_fits(name: str, given: dict[str, Any]) -> None:
    """Raises where the share of wrong preferences is one with which "robust" would learn the opposite; where a reference is missing."""
    both_or_neither(name, given)
    share = given.get("label_smoothing")
    if given.get("variant") == "robust" and isinstance(share, int | float | np.generic) and float(share) >= 0.5:
        raise ValueError(f'{name}: `label_smoothing` must be below 1/2 for variant="robust", got {share}.')
