#!/usr/bin/env bash
# jax2onnx 0.17.1: a complex array is a real one with a last axis for its two parts, and abs, exp, sqrt and == are applied to each part
# as if it were a number of its own, without an error.
#
# Guess: the magnitudes of the spectrum of (1, 2, -1, 0.5) are 2.5, 2.5 and 2.5 in the model, too, or the operation is refused.
# Seen:  [[2.5, 0], [2, 1.5], [2.5, 0]]: the magnitudes of the parts. The real parts of exp(z) and sqrt(z) have the right shape: 0.5227 and 1.5
#        in the middle are 7.3891, which is exp(2), and 1.4142. jnp.angle, .real and .imag are right, and so is hypot(z.real, z.imag).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2" "jax2onnx==0.17.1" "onnxruntime==1.32.0"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" -W ignore - <<'END'
import importlib.metadata

import jax
import jax.numpy as jnp
import jax2onnx
import numpy as np
import onnxruntime


def by_onnx(function, array):
    model = jax2onnx.to_onnx(function, inputs=[jax.ShapeDtypeStruct(array.shape, array.dtype)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: array})[0]


x = np.array([1, 2, -1, 0.5], np.float32)
operations = {
    "abs": jnp.abs,
    "exp": lambda z: jnp.exp(z).real,
    "sqrt": lambda z: jnp.sqrt(z).real,
    "hypot": lambda z: jnp.hypot(z.real, z.imag),
    "angle": jnp.angle,
}
found, wanted = {}, {}
for name, operation in operations.items():
    def function(x, operation=operation):
        return operation(jnp.fft.rfft(x))

    found[name], wanted[name] = by_onnx(function, x).tolist(), jax.jit(function)(x).tolist()
print("jax2onnx", importlib.metadata.version("jax2onnx"), found, "jax", wanted)
np.testing.assert_allclose(wanted["abs"], 2.5, rtol=1e-6)
for name in ("hypot", "angle"):
    np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5)
np.testing.assert_allclose(found["abs"], [[2.5, 0], [2, 1.5], [2.5, 0]], atol=1e-5, err_msg="abs has changed")
np.testing.assert_allclose([wanted["exp"][1], found["exp"][1]], [0.52268, 7.38906], rtol=1e-4, err_msg="exp has changed")
np.testing.assert_allclose([wanted["sqrt"][1], found["sqrt"][1]], [1.5, 1.41421], rtol=1e-4, err_msg="sqrt has changed")
END
