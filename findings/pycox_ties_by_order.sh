#!/usr/bin/env bash
# pycox 0.3.0: cox_ph_loss depends on the order of the examples where durations are tied, and is nan, with its gradient, for a batch without
# an event.
#
# Guess: a sum over examples and risk sets has no order: one event and two censored examples of one duration, log hazards 0, 1 and 2, have
#        log(1 + e + e**2) = 2.4076. Without an event the loss is 0.
# Seen:  from 0.0000007 to 2.4076 over the six orders: the risk set is a cumulative sum after sorting by duration (the docstring says "just
#        a cumulative sum"). If the event stands first, its hazard has no gradient. Durations in whole days, and shuffling, make another
#        loss of each batch. nan for no event, which is common in small batches of rare events.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "pycox==0.3.0" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" - <<'END'
import itertools
import math

import torch
from pycox.models.loss import cox_ph_loss

hazards, durations, events = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([4.0, 4.0, 4.0]), torch.tensor([1.0, 0.0, 0.0])
found = {}
for order in itertools.permutations(range(3)):
    order = list(order)
    found[tuple(order)] = round(float(cox_ph_loss(hazards[order, None], durations[order], events[order])), 4)
none = torch.tensor([[0.0], [1.0]], requires_grad=True)
loss = cox_ph_loss(none, torch.tensor([1.0, 2.0]), torch.zeros(2))
loss.backward()
right = math.log(1 + math.e + math.e**2)
print("pycox 0.3.0, torch", torch.__version__, found, "right", right, "no event", loss.item(), none.grad.ravel().tolist())
assert max(found.values()) == 2.4076 and min(found.values()) == 0, "the order of ties has changed"
assert torch.isnan(loss) and torch.isnan(none.grad).all(), "a batch without an event has changed"
END
