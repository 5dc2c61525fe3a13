#!/usr/bin/env bash
# lifelines 0.30.3: the median survival time is the first time at which the Kaplan-Meier estimate is 0.5 or less, and the estimate is an
# exponential of a sum of logarithms: where it is exactly 1/2, rounding decides whether that time or the next death is the median.
#
# Guess: of n deaths at the times 1 to n, n even, half are dead at n / 2, and that is the median: 2 of 4, 3 of 6, 4 of 8.
# Seen:  2, 4 and 5: at 3 of 6 the estimate is 0.5000000000000001. Of the even numbers up to 100 about a third have the later time. In
#        yearly data the medians of two arms of the same size agree or differ by a year, for nothing. qth_survival_times has the same.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "lifelines==0.30.3" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import lifelines
import numpy as np


def median(n):
    fitted = lifelines.KaplanMeierFitter().fit(np.arange(1, n + 1))
    return int(fitted.median_survival_time_), float(fitted.survival_function_.iloc[n // 2, 0])


found = {n: median(n) for n in range(4, 101, 2)}
late = [n for n, (time, _) in found.items() if time != n // 2]
print("lifelines", lifelines.__version__, {n: found[n] for n in (4, 6, 8, 10)}, len(late), "of", len(found), "are late:", late)
assert found[4][0] == 2 and all(abs(half - 0.5) < 1e-12 for _, half in found.values())
assert found[6][0] == 4 and found[8][0] == 5 and 10 < len(late) < 30, "medians have changed"
END
