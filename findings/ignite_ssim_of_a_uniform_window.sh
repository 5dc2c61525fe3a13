#!/usr/bin/env bash
# pytorch-ignite 0.5.5: SSIM with gaussian=False, a uniform window, has a window of 5 x 5 whatever kernel_size says, and one of 3 x 3 whose
# weights add up to 0.36.
#
# Guess: kernel_size=7 is the mean over 7 x 7 pixels, as in the first paper and in scikit-image: 0.9539 for the two images below, and
#        0.9486, 0.9534 and 0.9547 with 3, 5 and 11.
# Seen:  0.9534 with 5, 7 and 11, and 0.9856 with 3: means and squares are a third of what they are, so that the constants weigh more and the
#        images look alike. Gaussian windows are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "pytorch-ignite==0.5.5"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import ignite
import numpy as np
import torch
from ignite.metrics import SSIM
from torch.nn import functional

rng = np.random.default_rng(0)
images = rng.uniform(size=(2, 1, 1, 24, 24))
x, y = torch.tensor(images[0]), torch.tensor(0.8 * images[0] + 0.2 * images[1])


def by_ignite(size, **options):
    metric = SSIM(data_range=1.0, kernel_size=size, **options)
    metric.update((x, y))
    return metric.compute()


def weighted(window):
    size = len(window)
    window = torch.tensor(window)[None, None]
    a, b = (functional.pad(image, [size // 2] * 4, mode="reflect") for image in (x, y))
    (mean_a, mean_b), squares = ([functional.conv2d(image, window) for image in pair] for pair in ((a, b), (a * a, b * b)))
    variances = squares[0] - mean_a**2 + squares[1] - mean_b**2
    covariance = functional.conv2d(a * b, window) - mean_a * mean_b
    similar = (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
    return float((similar / ((mean_a**2 + mean_b**2 + 0.01**2) * (variances + 0.03**2))).mean())


bell = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
found = {size: by_ignite(size, gaussian=False) for size in (3, 5, 7, 11)} | {"gaussian": by_ignite(11)}
right = {size: weighted(np.full((size, size), 1 / size**2)) for size in (3, 5, 7, 11)}
right["gaussian"] = weighted(np.outer(bell, bell) / bell.sum() ** 2)
print("ignite", ignite.__version__, "torch", torch.__version__, found, "right:", right)
np.testing.assert_allclose([right[size] for size in (3, 5, 7, 11)], [0.94856, 0.95337, 0.95393, 0.95467], atol=1e-5)
np.testing.assert_allclose([found[5], found["gaussian"]], [right[5], right["gaussian"]], rtol=1e-6)
np.testing.assert_allclose([found[7], found[11]], found[5], rtol=1e-12, err_msg="the size of a uniform window has changed")
np.testing.assert_allclose(found[3], 0.98558, atol=1e-5, err_msg="the small uniform window has changed")
END
