#!/usr/bin/env bash
# neuralforecast 3.3.0: some of its losses count what the mask leaves out: the frequencies of FreDF, the mean of Accuracy, the mixture GMM with
# horizon_correlation=True, and MSE, MAPE and others whose third argument is not the mask, as it is in MAE, RMSE and SMAPE.
#
# Guess: a forecast that is right in the three places that the mask keeps has the loss 0 and the accuracy 1, and the likelihood of a mixture
#        does not depend on the fourth.
# Seen:  with an error of 100 in the fourth place 50 from FreDF, which is half of 100 in every frequency, and an accuracy of 0.75, also for a
#        forecast that is right everywhere. The loss of a GMM is 3.68, 53.7 and 5003.7 for 0, 10 and 100 there. MSE()(y, forecast, mask) is
#        2500 where RMSE()(y, forecast, mask) is 0. Padding at the end of short series is what such masks are for.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy safetensors
"$work/env/bin/pip" install -q --no-deps "neuralforecast==3.3.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import importlib.util
import sys
import types

import torch

# The losses need nothing of what the package itself loads, models and trainers: its folder is enough.
folder = importlib.util.find_spec("neuralforecast").submodule_search_locations
package = sys.modules["neuralforecast"] = types.ModuleType("neuralforecast")
package.__path__ = list(folder)
from neuralforecast.losses import pytorch as losses  # noqa: E402


def series(*values):
    return torch.tensor(values)[None, :, None]


target, forecast, mask = series(1.0, 2, 3, 100), series(1.0, 2, 3, 0), series(1.0, 1, 1, 0)
third = {name: float(getattr(losses, name)()(target, forecast, mask)) for name in ("MAE", "RMSE", "SMAPE", "MSE", "MAPE")}
named = {name: float(getattr(losses, name)()(target, forecast, mask=mask)) for name in (*third, "FreDF")}
accuracy = [float(losses.Accuracy()(target, y, None, mask=mask)) for y in (forecast, target)]
normal = torch.zeros(1, 4, 1, 1), torch.ones(1, 4, 1, 1)
mixtures = {
    related: [round(float(losses.GMM(1, horizon_correlation=related)(series(0.0, 0, 0, y), normal, mask=mask)), 2) for y in (0.0, 10.0, 100.0)]
    for related in (False, True)
}
print("neuralforecast 3.3.0, torch", torch.__version__, named, "by position:", third, "accuracy:", accuracy, "mixtures:", mixtures)
assert [named[name] for name in third] == [0] * 5 and mixtures[False] == [0.92] * 3
assert named["FreDF"] == 50, "the mask of FreDF has changed"
assert accuracy == [0.75, 0.75], "the mask of Accuracy has changed"
assert mixtures[True] == [3.68, 53.68, 5003.68], "the mask of mixtures has changed"
assert [third[name] for name in ("MAE", "RMSE", "SMAPE", "MSE", "MAPE")] == [0, 0, 0, 2500, 0.25], "the order of arguments has changed"
END
