#!/usr/bin/env bash
# pycox 0.3.0: nll_pmf and nll_mtlr add 1e-7 to the probability of surviving, so that the loss of a censored example ends at 16.1, without a
# gradient.
#
# Guess: a model that puts logits of 20 and 50 on an event before the time at which an example was still alive has the losses 20 and 50
#        there, and a derivative of 1: the likelihood of a censored time is linear in the logit. For observed events it is.
# Seen:  16.1181 and derivatives of 0 for both, in both losses; at 15 14.899 and 0.904. The examples that a model has most wrong, among the
#        censored, are those it cannot learn from.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "pycox==0.3.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import torch
from pycox.models import loss

index = torch.tensor([1])


def value_and_slope(function, logit, event):
    logits = torch.tensor([[logit, 0.0]], requires_grad=True)
    value = function(logits, index, torch.tensor([event]))
    return round(value.item(), 4), round(torch.autograd.grad(value, logits)[0][0, 0].item(), 4)


found = {}
for function in (loss.nll_pmf, loss.nll_mtlr):
    for name, event in (("censored", 0.0), ("observed", 1.0)):
        found[function.__name__, name] = [value_and_slope(function, logit, event) for logit in (10.0, 15.0, 20.0, 50.0)]
print("pycox 0.3.0, torch", torch.__version__, "at 10, 15, 20, 50:", found)
for function in ("nll_pmf", "nll_mtlr"):
    np.testing.assert_allclose(found[function, "observed"], [(10, 1), (15, 1), (20, 1), (50, 1)], atol=2e-3)
    np.testing.assert_allclose(found[function, "censored"][0], (10, 1), atol=5e-3)
    np.testing.assert_allclose(found[function, "censored"][1:], [(14.899, 0.9039), (16.1181, 0), (16.1181, 0)], atol=2e-3)
END
