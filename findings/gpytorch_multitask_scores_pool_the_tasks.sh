#!/usr/bin/env bash
# gpytorch 1.15.2, torch 2.13.0: of several tasks the standardized squared error and the standardized log loss are taken task by task, but
# are standardized by one variance over all tasks together, in which the distances between their means are.
#
# Guess: a prediction that is no better than the mean of each task has a standardized squared error of 1, and a standardized log loss of 0
#        with its variance, for each task, as it has with the tasks one by one.
# Seen:  with two tasks of deviation 1 and means 0 and 100 the errors are 0.0004 and 0.0004, and the log losses -3.4 and -3.4, which looks
#        like a very good model. One by one they are 1 and 0. With deviations of 1 and 1000, say two units, the errors are 2e-6 and 2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "gpytorch==1.15.2"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from gpytorch.metrics import mean_standardized_log_loss, standardized_mean_squared_error

torch.manual_seed(0)
n = 200
standard = torch.randn(n, 2)
standard = (standard - standard.mean(0)) / standard.std(0)


def scores(targets):
    """The two scores of a model that knows the mean and the variance of each task: of both tasks, and one by one."""
    means, variances = targets.mean(0).expand(n, 2), targets.var(0).expand(n, 2)
    both = MultitaskMultivariateNormal(means, torch.diag(variances.reshape(-1)))
    single = [MultivariateNormal(means[:, i], torch.diag(variances[:, i])) for i in (0, 1)]
    together = [standardized_mean_squared_error(both, targets), mean_standardized_log_loss(both, targets, targets)]
    errors = [standardized_mean_squared_error(single[i], targets[:, i]) for i in (0, 1)]
    losses = [mean_standardized_log_loss(single[i], targets[:, i], targets[:, i]) for i in (0, 1)]
    return [[float(f"{x:.2g}") for x in row] for row in (*together, errors, losses)]


apart, units = scores(standard + torch.tensor([0.0, 100.0])), scores(standard * torch.tensor([1.0, 1000.0]))
print("torch", torch.__version__, "means apart, together and one by one:", apart, "units:", units)
assert all(abs(x - 1) < 0.02 for x in apart[2] + units[2]) and all(abs(x) < 0.01 for x in apart[3] + units[3])
assert max(apart[0]) < 1e-3 and max(apart[1]) < -3, "means apart have changed"
assert units[0][0] < 1e-5 and 1.9 < units[0][1] < 2.1, "units have changed"
END
