"""Losses of log-probabilities say so, and `linear_head` computes those from hidden states, labels and a kernel."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

Steps = Literal["mean", "sum"]


class LogProbs(NamedTuple):
    """Which inputs of a loss are log-probabilities, and of what."""

    inputs: tuple[str, ...]
    steps: Steps | None  # how those of the tokens of a sequence become one number; None: the log-probabilities are of tokens


def of_log_probs(inputs: str, *, steps: Steps | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Says that these inputs of a core are log-probabilities of labels; stands below `@loss`.

    Args:
        inputs: Their names. One that begins with ``reference_`` is of the reference policy, which has no gradient.
        steps: None for log-probabilities of tokens, ``"sum"`` or ``"mean"`` for those of whole sequences: what `linear_head` takes over
            the tokens of a sequence if the call does not say.
    """

    def wrap(core: Callable[..., Any]) -> Callable[..., Any]:
        core.__jloss_log_probs__ = LogProbs(tuple(inputs.split()), steps)  # type: ignore[attr-defined]
        return core

    return wrap


def log_probs_of(core: Callable[..., Any]) -> LogProbs | None:
    """What a core says of its log-probabilities."""
    return getattr(core, "__jloss_log_probs__", None)
