"""Losses of predicted distributions: likelihoods of counts, amounts and measurements.

Inputs are parameters of the distribution and what was observed. Start with `gaussian_nll`, or `poisson_nll` for counts.
"""

from jloss.probabilistic.likelihood import gamma_nll as gamma_nll
from jloss.probabilistic.likelihood import gaussian_nll as gaussian_nll
from jloss.probabilistic.likelihood import poisson_nll as poisson_nll
from jloss.probabilistic.likelihood import tweedie_deviance as tweedie_deviance
