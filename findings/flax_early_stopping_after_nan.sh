#!/usr/bin/env bash
# flax 0.12.8: EarlyStopping takes a first metric of nan for an improvement, and nothing after it for one: training stops although the loss
# falls in each epoch.
#
# Guess: nan is not better than the inf it begins with, and the next number is an improvement, as it is after a nan that comes later.
# Seen:  losses of nan, 3, 2, 1 and 0.5 stop at the third with a patience of 1 and at the fourth with 2, and the best of them is nan. Losses of
#        3, nan, 2 and 1 do not stop. A first epoch whose metric is 0 / 0, as of an empty validation set, is enough.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "flax==0.12.8"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import math

import flax
from flax.training.early_stopping import EarlyStopping


def run(losses, patience):
    stopping, improved = EarlyStopping(patience=patience), []
    for epoch, loss in enumerate(losses):
        stopping = stopping.update(loss)
        improved.append(stopping.has_improved)
        if stopping.should_stop:
            return improved, epoch, stopping.best_metric
    return improved, None, stopping.best_metric


losses = [math.nan, 3.0, 2.0, 1.0, 0.5]
found = [run(losses, patience) for patience in (0, 1, 2)]
later, never = run([3.0, math.nan, 2.0, 1.0], 1), run(losses[1:], 0)
print("flax", flax.__version__, "improvements, epoch of the stop, best:", found, "nan later:", later, "no nan:", never)
assert later == ([True, False, True, True], None, 1) and never == ([True] * 4, None, 0.5)
for patience, (improved, epoch, best) in enumerate(found):
    assert improved == [True] + [False] * (patience + 1), "what follows nan has changed"
    assert epoch == patience + 1 and math.isnan(best), "what follows nan has changed"
END
