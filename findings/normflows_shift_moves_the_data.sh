#!/usr/bin/env bash
# normflows 1.7.3, torch 2.13.0: transforms.Shift, the preprocessing that moves images from 0..1 to -0.5..0.5, moves the tensor that it is
# given, in place: each evaluation of a model with it moves the data of the caller by another -0.5.
#
# Guess: log_prob of one batch is the same number each time, and the batch is what it was.
# Seen:  -3.68, -4.18, -5.68 and -8.18 for the same batch of 0.5, which is -1.5 then. A data set that is held in memory drifts by 0.5 with
#        every epoch, and forward_kld, the loss of training, does it, too. What is compared with another model afterwards is no longer
#        the data. Logit, the other transform, leaves its input as it is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "normflows==1.7.3"
cd "$work"
"$work/env/bin/python" - <<'END'
import math

import normflows
import torch

shape = (1, 2, 2)


def evaluated(transform, times=4):
    """The log density of one batch several times, and one of its numbers afterwards."""
    base = normflows.distributions.DiagGaussian(shape, trainable=False)
    flows = [[normflows.flows.AffineConstFlow(shape)]]
    model = normflows.MultiscaleFlow([base], flows, [], transform=transform, class_cond=False)
    batch = torch.full((1, *shape), 0.5)
    values = [round(model.log_prob(batch, None).item(), 2) for _ in range(times)]
    after = batch[0, 0, 0, 0].item()
    model.forward_kld(batch)
    return values, after, batch[0, 0, 0, 0].item()


def normal(x):
    return round(-2 * math.log(2 * math.pi) - 2 * x**2, 2)


shift, logit = evaluated(normflows.transforms.Shift()), evaluated(normflows.transforms.Logit())
print("torch", torch.__version__, "values, and the data after four of them and a loss: shift", shift, "logit", logit)
assert len(set(logit[0])) == 1 and logit[1:] == (0.5, 0.5) and shift[0][0] == normal(0)
assert shift[0] == [normal(x) for x in (0, -0.5, -1, -1.5)] and shift[1:] == (-1.5, -2), "the shift has changed"
END
