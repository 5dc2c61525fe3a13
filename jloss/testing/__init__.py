"""Checks for losses, jloss's and your own.

`check` runs the laws (`jloss.testing.laws`) and the hard points (`jloss.testing.samples`) on a loss and reports what is broken, with
which inputs::

    report = jloss.testing.check(my_loss)
    assert report, report

`checked` and `diagnose` (`jloss.testing.debug`) find the input that makes a loss NaN.
"""

from jloss._core.types import all_readable as _all_readable
from jloss.testing.cases import Case as Case
from jloss.testing.cases import LawError as LawError
from jloss.testing.debug import checked as checked
from jloss.testing.debug import diagnose as diagnose
from jloss.testing.functions import FUNCTION_LAWS as FUNCTION_LAWS
from jloss.testing.functions import Plain as Plain
from jloss.testing.laws import LAWS as LAWS
from jloss.testing.report import ADVICE as ADVICE
from jloss.testing.report import Failure as Failure
from jloss.testing.report import Report as Report
from jloss.testing.report import check as check
from jloss.testing.samples import SIZES as SIZES
from jloss.testing.samples import draw as draw
from jloss.testing.samples import hard as hard
from jloss.testing.samples import hard_samples as hard_samples
from jloss.testing.samples import samples as samples
from jloss.testing.samples import sizes as sizes

_all_readable(vars())
