"""Pictures of losses: curves, landscapes, comparisons under outliers and imbalance, boxes and masks. Needs matplotlib.

Every function returns the axes it drew on, with labels from the docstrings. Without ``axes=`` it opens a pyplot figure, which a
notebook shows by itself.
"""

from jloss._core.types import all_readable as _all_readable
from jloss.plotting.curves import compare as compare
from jloss.plotting.curves import curve as curve
from jloss.plotting.curves import landscape as landscape
from jloss.plotting.curves import path_of as path_of
from jloss.plotting.curves import plane_of as plane_of
from jloss.plotting.curves import values as values
from jloss.plotting.pictures import describe as describe
from jloss.plotting.pictures import gallery as gallery
from jloss.plotting.pictures import picture as picture

_all_readable(vars())
