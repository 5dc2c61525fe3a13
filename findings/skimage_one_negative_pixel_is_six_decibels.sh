#!/usr/bin/env bash
# scikit-image 0.26.0: without a data_range the signal-to-noise ratio of floating images takes 1 for the range of the data if no pixel of the
# true image is negative, and 2 if one is: then the same errors count 6.02 dB less.
#
# Guess: errors of 0.1 in an image from 0 to 1 are 20 dB, and one pixel of -1e-9, which a resampling may leave behind, changes nothing.
# Seen:  20 and 26.02. A negative pixel of the tested image alone changes nothing; int16 images jump by the same 6.02 dB. So the mean over a
#        set is one of two scales, and rounding decides which image has which. structural_similarity refuses floating images without a range;
#        here none is asked for, nor said to depend on the sign.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "numpy==2.4.6" "scipy==1.17.1" "scikit-image==0.26.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio as psnr

image = np.random.default_rng(0).random((16, 16))
touched, tested = image.copy(), image + 0.1
touched[0, 0] = tested[0, 0] = -1e-9
whole = (image * 1000).astype(np.int16)
below = whole.copy()
below[0, 0] = -1
found = {
    "no negative pixel": psnr(image, image + 0.1),
    "one": psnr(touched, touched + 0.1),
    "of the tested image": psnr(image, tested) - psnr(image, tested, data_range=1.0),
    "with a range": psnr(touched, touched + 0.1, data_range=1.0),
    "int16": psnr(below, below + np.int16(100)) - psnr(whole, whole + np.int16(100)),
}
found = {name: round(float(number), 3) for name, number in found.items()}
print("scikit-image", skimage.__version__, found)
assert found["no negative pixel"] == found["with a range"] == 20 and found["of the tested image"] == 0
assert found["one"] == 26.021 and found["int16"] == 6.021, "negative pixels have changed"
END
