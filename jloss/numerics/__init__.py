"""Arithmetic for losses: its gradient is finite where the mathematics allows it, and it exports to every platform.

For losses of your own, too: `pick` for the score of a label, `safe_divide`, `safe_sqrt` and `safe_norm` where a denominator or a
length may be 0, `absolute` and `positive_part` for kinks, `logsumexp` and `log_softmax` for classes, sharded over devices or not.
"""

from jloss._core.types import all_readable as _all_readable
from jloss.numerics.guards import absolute as absolute
from jloss.numerics.guards import below as below
from jloss.numerics.guards import clipped as clipped
from jloss.numerics.guards import inverse_norm as inverse_norm
from jloss.numerics.guards import log1mexp as log1mexp
from jloss.numerics.guards import log_partition as log_partition
from jloss.numerics.guards import log_softmax as log_softmax
from jloss.numerics.guards import logaddexp as logaddexp
from jloss.numerics.guards import logsumexp as logsumexp
from jloss.numerics.guards import max_or_nan as max_or_nan
from jloss.numerics.guards import normalize as normalize
from jloss.numerics.guards import pick as pick
from jloss.numerics.guards import positive_part as positive_part
from jloss.numerics.guards import quotient as quotient
from jloss.numerics.guards import safe_divide as safe_divide
from jloss.numerics.guards import safe_exp as safe_exp
from jloss.numerics.guards import safe_log as safe_log
from jloss.numerics.guards import safe_norm as safe_norm
from jloss.numerics.guards import safe_sqrt as safe_sqrt
from jloss.numerics.guards import select_by_sign as select_by_sign
from jloss.numerics.guards import softplus as softplus
from jloss.numerics.guards import xlogy as xlogy

_all_readable(vars())
