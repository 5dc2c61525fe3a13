#!/usr/bin/env bash
# statsmodels 0.15.0: rmspe, the root mean squared percentage error, is a tenth of it: 100 is multiplied in before the root is taken. Of
# whole numbers it is taken from errors that were cut to whole ones, mostly 0.
#
# Guess: predictions of 101 and 99 for 100 are 1 % off, and 110 and 90 for 100 are 10 % off: 1 and 10, or 0.01 and 0.1.
# Seen:  0.1 and 1, so that an error of 1 % looks like one of 0.1 %. For the same numbers as integers 0, perfect; for 250 instead of 100 it
#        is 10 where 15 is a tenth, as an error of -1.5 times the target is cut to -1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "statsmodels==0.15.0" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import statsmodels
from statsmodels.tools.eval_measures import rmse, rmspe

target = np.array([100, 100])
predictions = {"1 %": [101, 99], "10 %": [110, 90], "150 %": [250, 250]}
floats = {name: float(rmspe(target.astype(float), np.array(p, float))) for name, p in predictions.items()}
whole = {name: float(rmspe(target, np.array(p))) for name, p in predictions.items()}
right = {name: 100 * float(np.sqrt(np.mean(((target - np.array(p)) / target) ** 2))) for name, p in predictions.items()}
print("statsmodels", statsmodels.__version__, "floats", floats, "integers", whole, "right", right)
np.testing.assert_allclose(list(right.values()), [1, 10, 150], rtol=1e-6)
assert float(rmse(target, np.array(predictions["10 %"]))) == 10
np.testing.assert_allclose(list(floats.values()), [0.1, 1, 15], rtol=1e-6, err_msg="floats have changed")
assert list(whole.values()) == [0, 0, 10], "integers have changed"
END
