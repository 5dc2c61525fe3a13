#!/usr/bin/env bash
# xskillscore 0.0.29: spearman_r with skipna=True is nan wherever a value is missing, unless the optional package bottleneck is installed:
# the ranks are those of scipy without it, which are all nan if one number is.
#
# Guess: skipna leaves the missing pair out, as in pearson_r, mae and r2: ranks 1, 2, 4, 3 and 5 for 1 to 5, and a sixth value missing,
#        have a correlation of 0.9, with any set of optional packages, which make things faster.
# Seen:  nan, and a p-value of nan; 0.9 and 0.0374 with bottleneck 1.6.0. pearson_r is 0.9 for both. Weights do not act on the ranks: an
#        example of weight 0 moves the correlation of the other four from 0.8 to 0.8485.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "xskillscore==0.0.29"
cd "$work"
cat > score.py <<'END'
import json

import numpy as np
import xarray
import xskillscore


def series(*numbers):
    return xarray.DataArray(np.array(numbers, float), dims="time")


a, b = series(1, 2, 3, 4, 5, np.nan), series(1, 2, 4, 3, 5, 7)
names = ("spearman_r", "spearman_r_p_value", "pearson_r")
found = [round(float(getattr(xskillscore, name)(a, b, "time", skipna=True)), 4) for name in names]
four, five = (series(1, 2, 3, 4), series(1, 2, 4, 3)), (series(1, 2, 3, 4, 2.5), series(1, 2, 4, 3, 100))
weighed = xskillscore.spearman_r(*five, "time", weights=series(1, 1, 1, 1, 0))
print(json.dumps([found, round(float(weighed), 4), round(float(xskillscore.spearman_r(*four, "time")), 4)]))
END
without=$("$work/env/bin/python" -W ignore score.py)
"$work/env/bin/pip" install -q "bottleneck==1.6.0"
with=$("$work/env/bin/python" -W ignore score.py)
echo "xskillscore 0.0.29: spearman_r, its p-value and pearson_r; with a weight of 0, and without that example"
echo "$without, with bottleneck $with"
[ "$with" = "[[0.9, 0.0374, 0.9], 0.8485, 0.8]" ]
[ "$without" = "[[NaN, NaN, 0.9], 0.8485, 0.8]" ] || { echo "skipna has changed"; exit 1; }
