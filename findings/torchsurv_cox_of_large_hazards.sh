#!/usr/bin/env bash
# torchsurv 0.2.0: the Cox loss sums exponentials as they are, so that log hazards of 90 make it inf or nan in float32, although only their
# differences count. Its mean divides by the number of event times, not of events.
#
# Guess: log hazards that are all larger by 100 have the same partial likelihood, 1.4136 by Efron's method; of three events, two of them at
#        the same time, the mean is a third of the sum.
# Seen:  1.4136 and nan, by Breslow's method 1.6532 and inf, at -100 1.4292 and 1.6675, a number that nothing warns of. The sum is
#        twice the mean: ties weigh less the more there are, and a mean over batches depends on how days were rounded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "torchsurv==0.2.0" pandas
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import numpy as np
import torch
from torchsurv.loss.cox import neg_partial_log_likelihood

hazards = torch.tensor([0.5, 1.0, -1.0, 0.0])
events, times = torch.tensor([True, True, True, False]), torch.tensor([1.0, 1.0, 2.0, 3.0])
found = {}
for method in ("efron", "breslow"):
    losses = [neg_partial_log_likelihood(hazards + by, events, times, ties_method=method) for by in (0, 10, 100, -100)]
    total = neg_partial_log_likelihood(hazards, events, times, ties_method=method, reduction="sum")
    found[method] = [round(float(x), 4) for x in (*losses, total / losses[0])]
print("torchsurv 0.2.0, torch", torch.__version__, "at +0, +10, +100, -100, and sum over mean:", found)
for method, value, lost in (("efron", 1.4136, 1.4292), ("breslow", 1.6532, 1.6675)):
    np.testing.assert_allclose(found[method][:2], value, atol=1e-3)
    assert not np.isfinite(found[method][2]), "large log hazards have changed"
    np.testing.assert_allclose(found[method][3], lost, atol=1e-3, err_msg="small log hazards have changed")
    assert found[method][4] == 2, "the mean has changed"
END
