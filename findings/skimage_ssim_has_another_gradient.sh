#!/usr/bin/env bash
# scikit-image 0.26.0: the gradient of structural_similarity is not that of the number that is returned with it: the number is a mean without a
# border of half a window, the gradient that of the mean with it, and of several channels it is that of their sum.
#
# Guess: the derivatives of the first result in the second image, as finite differences of it give them.
# Seen:  of 16 x 16 pixels, with windows of 7 x 7, it is 0.78 times as long as these and points 36 degrees elsewhere, with gaussian_weights
#        half as long and 58 degrees; of 12 x 12 pixels with three channels it is 2.4 times as long. It is the gradient of the mean of the full
#        map, to eight digits without use_sample_covariance and to two with it, which is the default. A fit that takes the number for its
#        loss and this for its slope does not go the steepest way down, at the border least of all.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import skimage
from skimage.metrics import structural_similarity


def differences(function, image, step=1e-6):
    """The gradient of a function of an image by central differences."""
    slope = np.zeros_like(image)
    for place in np.ndindex(image.shape):
        near = [image.copy(), image.copy()]
        near[0][place] += step
        near[1][place] -= step
        slope[place] = (function(near[0]) - function(near[1])) / (2 * step)
    return slope


def compared(shape, whole=False, **options):
    """The length of the gradient against that of the differences, the angle between them, and the relative error."""
    rng = np.random.default_rng(0)
    first, second = rng.random(shape), rng.random(shape)
    options["channel_axis"] = 2 if len(shape) == 3 else None

    def similarity(image):
        found = structural_similarity(first, image, data_range=1.0, full=whole, **options)
        return found[1].mean() if whole else found

    theirs, ours = structural_similarity(first, second, data_range=1.0, gradient=True, **options)[1], differences(similarity, second)
    sizes = np.linalg.norm(theirs), np.linalg.norm(ours)
    angle = np.degrees(np.arccos((theirs * ours).sum() / (sizes[0] * sizes[1])))
    return [float(np.round(number, 4)) for number in (sizes[0] / sizes[1], angle, np.abs(theirs - ours).max() / np.abs(ours).max())]


found = {
    "plain": compared((16, 16)),
    "gaussian": compared((16, 16), gaussian_weights=True),
    "three channels": compared((12, 12, 3)),
    "of the map": compared((16, 16), True),
    "of the map, use_sample_covariance=False": compared((16, 16), True, use_sample_covariance=False),
}
print("scikit-image", skimage.__version__, "length, angle and error:", found)
assert found["of the map, use_sample_covariance=False"] == [1, 0, 0] and found["of the map"][2] < 0.03
theirs = [found["plain"][0], found["plain"][1] / 10, found["gaussian"][0], found["gaussian"][1] / 10, found["three channels"][0]]
np.testing.assert_allclose(theirs, [0.776, 3.585, 0.488, 5.785, 2.396], atol=2e-3, err_msg="the gradient has changed")
END
