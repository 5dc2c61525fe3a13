#!/usr/bin/env bash
# catboost 1.2.10: the mean absolute percentage error divides by max(1, |target|), so that of targets below 1 it is the absolute error. The
# mean absolute error takes 1e-6 off each error, as the quantile loss there does.
#
# Guess: a prediction of twice the target is 100 % off, for every target; SMAPE says 66.7 % for all. The mean absolute error of 1 is 1.
# Seen:  0.001 for a target of 0.001, 0.5 for 0.5, 1 from 1 on; 0.999999 for an error of 1, 9e-6 for 1e-5 and 0 for 5e-7. Of rates, shares
#        and prices in thousands, model selection by MAPE is selection by absolute error.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "catboost==1.2.10"
cd "$work"
"$work/env/bin/python" - <<'END'
import catboost
import numpy as np
from catboost.utils import eval_metric

targets = [0.001, 0.5, 1.0, 100.0]
found = {name: [eval_metric([target], [2 * target], name)[0] for target in targets] for name in ("MAPE", "SMAPE")}
absolute = [eval_metric([0.0, 0.0], [error, error], "MAE")[0] for error in (1.0, 1e-5, 5e-7)]
print("catboost", catboost.__version__, "at", targets, found, "absolute errors of 1, 1e-5, 5e-7:", absolute)
np.testing.assert_allclose(found["SMAPE"], 200 / 3, rtol=1e-5)
np.testing.assert_allclose(found["MAPE"], [0.001, 0.5, 1, 1], rtol=1e-5, err_msg="MAPE has changed")
np.testing.assert_allclose(absolute, [0.999999, 9e-6, 0], rtol=1e-7, atol=1e-12, err_msg="MAE has changed")
END
