#!/usr/bin/env bash
# utilsforecast 0.2.17, pandas 3.1.1, polars 1.42.1: in a pandas table steps that a model has no forecast for (nan) have no error in the
# weighted percentage error, wape and nd, in the periods in stock, pis and spis, and in cfe; in a polars table one of them makes the result
# nan. An observation of 0 is left out of mape in pandas, whatever was forecast, and makes it nan in polars.
#
# Guess: a forecast of nothing but nan has the score nan, and both tables have the same scores, as narwhals runs one program on both. A forecast
#        of 5 for an observation of 0 has a large percentage error.
# Seen:  wape, nd, pis, spis and cfe are 0, perfect, in pandas for a model without a single forecast, and half of what they should be for one
#        that has only the two steps of four; in polars all are nan. mape of (1, 0) and (1, 5) is 0 and nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "utilsforecast==0.2.17" "pandas==3.1.1" "polars==1.42.1" "narwhals==2.29.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import pandas
import polars
from utilsforecast import losses

nan, names, models = float("nan"), ("wape", "nd", "pis", "cfe", "mae"), ["all", "half", "none"]
table = {"unique_id": ["a"] * 4, "ds": [1, 2, 3, 4], "y": [1.0, 2, 3, 4]}
forecasts = {"all": [1.5, 2.5, 3.5, 4.5], "half": [1.5, nan, nan, 4.5], "none": [nan] * 4}
past = {"unique_id": ["a"] * 2, "ds": [-1, 0], "y": [1.0, 1.0]}
zero = {"unique_id": ["a"] * 2, "ds": [1, 2], "y": [1.0, 0.0], "model": [1.0, 5.0]}
found = {}
for library in (pandas, polars):
    data = library.DataFrame(table | forecasts)
    scores = {name: np.array(getattr(losses, name)(data, models)[models], float)[0].tolist() for name in names}
    scores["spis"] = np.array(losses.spis(data, models, library.DataFrame(past))[models], float)[0].tolist()
    scores["mape"] = losses.mape(library.DataFrame(zero), ["model"])["model"].to_list()
    found[library.__name__] = scores
    print("utilsforecast 0.2.17,", library.__name__, library.__version__, scores)
wanted = {"wape": [0.2, 0.1, 0], "nd": [0.2, 0.1, 0], "pis": [2, 1, 0], "spis": [2, 1, 0], "cfe": [2, 1, 0], "mae": [0.5, 0.5, nan], "mape": [0]}
for name, values in wanted.items():
    np.testing.assert_allclose(found["pandas"][name], values, err_msg=f"{name} of pandas has changed")
    lazy = [nan] if name == "mape" else [values[0], nan, nan]
    np.testing.assert_allclose(found["polars"][name], lazy, err_msg=f"{name} of polars has changed")
END
