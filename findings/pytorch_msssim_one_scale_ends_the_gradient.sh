#!/usr/bin/env bash
# pytorch-msssim 1.0.0: the multi-scale SSIM of a pair of images has no gradient at all if their mean local covariance is negative at one
# of the five scales: each scale goes through a ReLU, and the scales are multiplied.
#
# Guess: two images that have nothing to do with each other have a small MS-SSIM, and a gradient that makes it larger, as those of SSIM.
# Seen:  0 and a gradient of exactly 0 for 6 of 20 pairs of noise, whose structures happen to be opposed at one scale, and for every
#        image and its negative; the gradient of SSIM is not 0 for any of the pairs. A decoder that begins with noise does not learn
#        from these images, and nothing says so: the mean over the batch moves with the others.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "pytorch-msssim==1.0.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
from pytorch_msssim import ms_ssim, ssim


def slope(metric, image, target):
    image = image.clone().requires_grad_()
    value = metric(image, target, data_range=1.0)
    value.backward()
    return value.item(), image.grad.abs().max().item()


noise = torch.Generator().manual_seed(0)
pairs = [torch.rand(2, 1, 1, 176, 176, generator=noise) for _ in range(20)]
multi, single = ([slope(metric, *pair) for pair in pairs] for metric in (ms_ssim, ssim))
negatives = [slope(ms_ssim, 1 - target, target) for _, target in pairs[:5]]
dead = [pair == (0, 0) for pair in multi]
print("pytorch-msssim 1.0.0: pairs without a gradient", sum(dead), "of", len(dead), "negatives", negatives)
print("smallest slope of the others", min(g for _, g in multi if g), "and of SSIM", min(g for _, g in single))
assert min(g for _, g in single) > 0
assert 3 <= sum(dead) <= 10 and all(value != 0 for (value, _), none in zip(multi, dead) if not none), "the gradient has changed"
assert all(pair == (0, 0) for pair in negatives), "the gradient has changed"
END
