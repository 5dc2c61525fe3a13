"""What the log-probabilities of a policy are compared with."""

from jax import Array, lax


def over_reference(log_probs: Array, reference: Array | None) -> Array:
    """The log-ratio to a reference, which is a constant; without one the log-probability itself."""
    return log_probs if reference is None else log_probs - lax.stop_gradient(reference)
