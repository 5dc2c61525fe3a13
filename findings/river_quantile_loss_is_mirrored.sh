#!/usr/bin/env bash
# river 0.26.1: the value of optim.losses.Quantile is that of the opposite quantile, and the value of Cauchy is the absolute error. The
# gradients are right, and belong to other values.
#
# Guess: among the numbers 0.5, 1.5, ..., 98.5 the mean of Quantile(0.9) over the targets 0, 1, ..., 99 is least at 89.5, where the mean
#        gradient changes its sign; and the slope of a loss, by differences, is its gradient.
# Seen:  the mean is least at 9.5, and 8 times as large at 89.5, where the gradient sends a model: the better it gets, the worse is the loss
#        that is reported. The slope at an error of 2 is 0.9 where the gradient is 0.1. Cauchy() of an error of 80 is 80, with a slope of 1
#        and a gradient of 40. Quantile is right with alpha=0.5 alone, as in the example of its documentation; Squared, Huber and Poisson
#        are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "river==0.26.1"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
from river.optim import losses

targets, places = np.arange(100.0), np.arange(99) + 0.5
loss = losses.Quantile(0.9)
means = np.array([np.mean(loss(targets, np.full(100, p))) for p in places])
gradients = np.array([np.mean(loss.gradient(targets, np.full(100, p))) for p in places])


def slope_and_gradient(loss, target, prediction, step=1e-4):
    slope = (loss(target, prediction + step) - loss(target, prediction - step)) / (2 * step)
    return round(slope, 4), round(loss.gradient(target, prediction), 4)


least, turn = places[means.argmin()], places[np.abs(gradients).argmin()]
ratio = means[89] / means[9]
others = losses.Squared(), losses.Huber(), losses.Poisson(), losses.Quantile(0.5)
right = {type(x).__name__: slope_and_gradient(x, 3.0, 5.0) for x in others}
quantile, cauchy = slope_and_gradient(loss, 3.0, 5.0), (losses.Cauchy()(3.0, 83.0), *slope_and_gradient(losses.Cauchy(), 3.0, 83.0))
print("least at", least, "gradient 0 at", turn, "ratio of the means", ratio, "slopes and gradients:", right, quantile, "Cauchy:", cauchy)
assert all(abs(slope - gradient) < 1e-3 for slope, gradient in right.values()) and turn == 89.5
assert least == 9.5 and 8 < ratio < 8.2 and quantile == (0.9, 0.1), "the value of Quantile has changed"
assert cauchy == (80, 1, 40), "the value of Cauchy has changed"
END
