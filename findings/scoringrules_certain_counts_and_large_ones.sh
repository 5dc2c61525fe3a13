#!/usr/bin/env bash
# scoringrules 0.10.0: the CRPS of a binomial whose probability is exactly 1 is three times what it should be, and that of a Poisson is nan
# or inf where the mean and the observation are 150, or the observation alone is 200.
#
# Guess: a certain forecast of 5 and an observation of 3 are 2 apart: 2, as at a probability of 1 - 1e-9; of one trial that succeeds it is
#        0. A Poisson forecast of 150 with an observation of 150 has 2.86, and 5 with 200 about 194.
# Seen:  6, and 3, 3 and 15 for 1, 1 and 5 with other numbers of trials. inf for 150 and 150, nan for 5 and 200 and for 300 and 300. At an
#        observation of 100 it is right. Counts of visitors and cases are such numbers, and a mean over them is nan.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "scoringrules==0.10.0" "numpy==2.4.6" "scipy==1.17.1"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import numpy as np
import scipy.stats
import scoringrules


def by_sum(law, observed):
    numbers = np.arange(0, 2000)
    return float(np.sum((law.cdf(numbers) - (numbers >= observed)) ** 2))


poisson = {pair: float(scoringrules.crps_poisson(pair[1], float(pair[0]))) for pair in ((100, 100), (150, 150), (5, 200), (300, 300))}
right = {pair: by_sum(scipy.stats.poisson(pair[0]), pair[1]) for pair in poisson}
nearly, certain = (float(scoringrules.crps_binomial(3, 5, p)) for p in (1 - 1e-9, 1.0))
others = [float(scoringrules.crps_binomial(observed, n, 1.0)) for observed, n in ((0, 1), (1, 2), (5, 10))]
print("scoringrules", importlib.metadata.version("scoringrules"), "binomial", nearly, certain, others, "Poisson", poisson, "by sum", right)
np.testing.assert_allclose(nearly, by_sum(scipy.stats.binom(5, 1.0), 3), rtol=1e-6)
np.testing.assert_allclose(poisson[100, 100], right[100, 100], rtol=1e-6)
np.testing.assert_allclose([right[150, 150], right[5, 200]], [2.8596, 193.7545], rtol=1e-3)
assert certain == 6 and others == [3, 3, 15], "the certain binomial has changed"
assert poisson[150, 150] == np.inf and np.isnan(poisson[5, 200]) and np.isnan(poisson[300, 300]), "large counts have changed"
END
