#!/usr/bin/env bash
# pytorch_optimizer 4.1.0: with a second temperature below 1 the probabilities of the bi-tempered loss do not add up to 1: their normaliser
# is looked for by five bisections of an interval that grows with the number of classes.
#
# Guess: a softmax with equal logits has 1 / n for each of n classes, at every temperature; the loss is that of a probability.
# Seen:  at t=0.5 they add up to 1.013 for two classes, 1.07 for ten and 2.19 for a thousand; at t=0.2 to 7.3 for a thousand. So the loss of
#        a thousand equal logits is 3.23 for 3.12. With num_iters=50 all is right, but BiTemperedLogisticLoss cannot be told. Above 1, where
#        another iteration is made, five are enough.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q --no-deps "pytorch_optimizer==4.1.0"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata
import importlib.util
import inspect
import sys
import types

import numpy as np
import torch

# The loss needs nothing of the optimizers: its folder is enough.
folder = importlib.util.find_spec("pytorch_optimizer").submodule_search_locations[0]
for name, path in {"pytorch_optimizer": "", "pytorch_optimizer.loss": "/loss"}.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder + path]
from pytorch_optimizer.loss import bi_tempered  # noqa: E402


def total(temperature, classes, rounds):
    return float(bi_tempered.tempered_softmax(torch.zeros(1, classes), temperature, rounds).sum())


cases = [(0.5, 2), (0.5, 10), (0.5, 1000), (0.2, 1000), (1.2, 1000)]
found = {case: [total(*case, rounds) for rounds in (5, 50)] for case in cases}
logits, label = torch.zeros(1, 1000), torch.tensor([0])
losses = [float(bi_tempered.bi_tempered_logistic_loss(logits, label, 0.8, 0.5, num_iters=rounds)) for rounds in (5, 50)]
module = float(bi_tempered.BiTemperedLogisticLoss(0.8, 0.5)(logits, label))
print("pytorch_optimizer", importlib.metadata.version("pytorch_optimizer"), "torch", torch.__version__, found, "loss", losses, module)
assert "num_iters" not in inspect.signature(bi_tempered.BiTemperedLogisticLoss.__init__).parameters
np.testing.assert_allclose([late for _, late in found.values()], 1, rtol=1e-3)
np.testing.assert_allclose(found[1.2, 1000][0], 1, rtol=1e-3)
early = [found[case][0] for case in cases[:4]]
np.testing.assert_allclose(early, [1.013, 1.0687, 2.1859, 7.3074], rtol=1e-3, err_msg="the normaliser has changed")
assert module == losses[0] and abs(losses[0] / losses[1] - 1) > 0.01, "the loss has changed"
END
