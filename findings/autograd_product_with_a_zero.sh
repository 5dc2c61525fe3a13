#!/usr/bin/env bash
# autograd 1.9.1: the gradient of np.prod is nan in a factor that is 0, where it is the product of the others, and that of np.sinc at 0 is
# nan. In both something is divided by the number itself.
#
# Guess: (6, 0, 0) for the product of (0, 2, 3), as in jax and torch, and 0 for the top of sinc.
# Seen:  (nan, 0, 0) and nan; at 1e-5 sinc has -3.3e-5, which is right, and so is x[0] * x[1] * x[2]. A likelihood that multiplies
#        probabilities, of which one is 0, has no gradient that brings it back.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "autograd==1.9.1" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import autograd.numpy as np
import numpy
from autograd import grad

factors = {"a zero": np.array([0.0, 2, 3]), "none": np.array([1.0, 2, 3]), "two zeros": np.array([0.0, 0, 3])}
products = {name: grad(np.prod)(numbers).tolist() for name, numbers in factors.items()}
slopes = [float(grad(np.sinc)(x)) for x in (0.0, 1e-5)]
written = grad(lambda x: x[0] * x[1] * x[2])(factors["a zero"]).tolist()
print("autograd", importlib.metadata.version("autograd"), products, "x y z", written, "sinc at 0 and 1e-5", slopes)
assert written == [6, 0, 0] and products["none"] == [6, 3, 2]
numpy.testing.assert_allclose(slopes[1], -numpy.pi**2 / 3 * 1e-5, rtol=1e-3)
numpy.testing.assert_equal(products["a zero"], [numpy.nan, 0.0, 0.0], err_msg="the product has changed")
numpy.testing.assert_equal(products["two zeros"], [numpy.nan, numpy.nan, 0.0], err_msg="the product has changed")
assert numpy.isnan(slopes[0]), "sinc has changed"
END
