#!/usr/bin/env bash
# scikit-survival 0.28.0: the concordance indices and the dynamic AUC take two risk scores for tied if they differ by less than 1e-8,
# whatever their size.
#
# Guess: only the order of the risks counts: four risks in perfect order have the index 1, in any unit.
# Seen:  0.5, the value of chance, for hazards per second of 1e-9 to 4e-9, from concordance_index_censored, concordance_index_ipcw and
#        cumulative_dynamic_auc, and 0.83 for three risks of 1e-8 to 3e-8. tied_tol=0, or the logarithm of the hazards, is right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "scikit-survival==0.28.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import sksurv
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw, cumulative_dynamic_auc
from sksurv.util import Surv

times, events = np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4, bool)
outcome = Surv.from_arrays(events, times)
risks = np.array([4.0, 3.0, 2.0, 1.0])


def scores(risks, **options):
    return [
        float(concordance_index_censored(events, times, risks, **options)[0]),
        float(concordance_index_ipcw(outcome, outcome, risks, **options)[0]),
        float(cumulative_dynamic_auc(outcome, outcome, risks, [2.5], **options)[0][0]),
    ]


found = {"1": scores(risks), "1e-9": scores(1e-9 * risks), "tied_tol=0": scores(1e-9 * risks, tied_tol=0)}
three = float(concordance_index_censored(events[:3], times[:3], 1e-8 * risks[1:])[0])
print("scikit-survival", sksurv.__version__, found, "three of 1e-8:", three)
assert found["1"] == found["tied_tol=0"] == [1, 1, 1]
assert found["1e-9"] == [0.5, 0.5, 0.5], "scikit-survival has changed"
np.testing.assert_allclose(three, 5 / 6, rtol=1e-6)
END
