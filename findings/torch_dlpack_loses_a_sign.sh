#!/usr/bin/env bash
# torch 2.13.0: the imaginary part of a conjugated tensor, a view whose minus sign is still to be applied, is handed over by DLPack without it.
#
# Guess: what x.tolist() shows arrives in NumPy, jax and torch itself, or is refused, as x.numpy() refuses it.
# Seen:  the opposite sign, in all three: 2 for the -2 of the conjugate of 1 + 2j, and so for the spectrum of a signal and for x.mH.imag. A
#        conjugate view as a whole is refused. x.contiguous() does not help if x is so already; x.resolve_neg() does.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6"
"$work/env/bin/pip" install -q "jax==0.10.2" "jaxlib==0.10.2"
cd "$work"
JAX_PLATFORMS=cpu "$work/env/bin/python" - <<'END'
import jax.numpy as jnp
import numpy as np
import torch


def refused(call):
    try:
        call()
    except (BufferError, RuntimeError):
        return True
    return False


conjugate = torch.tensor([1 + 2j]).conj()
part, adjoint = conjugate.imag, torch.tensor([[1 + 2j]]).mH.imag
spectrum = torch.fft.rfft(torch.tensor([1.0, 2, -1, 0.5])).conj().imag
found = {
    "numpy": np.from_dlpack(part).tolist(),
    "jax": jnp.from_dlpack(part).tolist(),
    "torch": torch.from_dlpack(part).tolist(),
    "contiguous": np.from_dlpack(part.contiguous()).tolist(),
    "adjoint": np.from_dlpack(adjoint).ravel().tolist(),
    "resolved": np.from_dlpack(part.resolve_neg()).tolist(),
    "spectrum": (float(spectrum[1]), float(np.from_dlpack(spectrum)[1])),
}
print("torch", torch.__version__, "torch itself", part.tolist(), found)
assert part.tolist() == found.pop("resolved") == [-2] and refused(part.numpy) and refused(lambda: np.from_dlpack(conjugate))
np.testing.assert_allclose(found.pop("spectrum"), (1.5, -1.5), rtol=1e-5, err_msg="torch has changed")
assert list(found.values()) == [[2.0]] * 5, "torch has changed"
END
