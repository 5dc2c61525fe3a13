"""Losses of predictions that are numbers in the unit of their targets.

Inputs are `predictions` and `targets` of any shape; each number is an example. Start with `huber`; `quantile` for intervals,
`general_robust` for outliers of every kind.
"""

from jloss.regression.errors import absolute_error as absolute_error
from jloss.regression.errors import absolute_percentage_error as absolute_percentage_error
from jloss.regression.errors import bias_error as bias_error
from jloss.regression.errors import charbonnier as charbonnier
from jloss.regression.errors import epsilon_insensitive as epsilon_insensitive
from jloss.regression.errors import expectile as expectile
from jloss.regression.errors import huber as huber
from jloss.regression.errors import linex as linex
from jloss.regression.errors import log_cosh as log_cosh
from jloss.regression.errors import pseudo_huber as pseudo_huber
from jloss.regression.errors import quantile as quantile
from jloss.regression.errors import smooth_l1 as smooth_l1
from jloss.regression.errors import squared_epsilon_insensitive as squared_epsilon_insensitive
from jloss.regression.errors import squared_error as squared_error
from jloss.regression.errors import squared_log_error as squared_log_error
from jloss.regression.errors import symmetric_absolute_percentage_error as symmetric_absolute_percentage_error
from jloss.regression.robust import cauchy as cauchy
from jloss.regression.robust import geman_mcclure as geman_mcclure
from jloss.regression.robust import general_robust as general_robust
from jloss.regression.robust import tukey_biweight as tukey_biweight
from jloss.regression.robust import welsch as welsch
