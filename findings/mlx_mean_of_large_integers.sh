#!/usr/bin/env bash
# mlx 0.32.4 on CPUs: the mean of int32 numbers is a wrapped sum divided by their number, although it is a float32, and a float16 mean is
# inf where the sum is over 65504, as it is rounded to float16 before the division. int8 and int16 are widened. bfloat16 is right, but not
# in cumsum.
#
# Guess: the mean of equal numbers is that number: 2**30, and 1 for ones.
# Seen:  -2**30 for two times 2**30 and 0 for four; 0 for int64 of 2**62 and for uint32 of 2**31. inf for 70000 float16 ones, and so is the
#        mean squared error of a batch of that size with errors of 1. The last number of a cumsum of 1000 bfloat16 ones is 256, though their
#        sum is 1000.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "mlx[cpu]==0.32.4" "mlx-cpu==0.32.4" "numpy==2.4.6"
cd "$work"
"$work/env/bin/python" -W ignore - <<'END'
import mlx.core as mx
import mlx.nn as nn
import numpy as np

found = {
    "two": mx.mean(mx.array([2**30] * 2)),
    "four": mx.mean(mx.array([2**30] * 4)),
    "int64": mx.mean(mx.array([2**62] * 4, dtype=mx.int64)),
    "uint32": mx.mean(mx.array([2**31] * 4, dtype=mx.uint32)),
    "int8": mx.mean(mx.array([100] * 3, dtype=mx.int8)),
    "float16": mx.mean(mx.ones(70000, dtype=mx.float16)),
    "loss": nn.losses.mse_loss(mx.zeros(70000, dtype=mx.float16), mx.ones(70000, dtype=mx.float16)),
    "bfloat16": mx.mean(mx.ones(70000, dtype=mx.bfloat16)),
    "sum": mx.sum(mx.ones(1000, dtype=mx.bfloat16)),
    "cumsum": mx.cumsum(mx.ones(1000, dtype=mx.bfloat16))[-1],
}
kinds = {name: str(value.dtype) for name, value in found.items()}
found = {name: float(value.item()) for name, value in found.items()}
print("mlx", mx.__version__, mx.default_device(), found, kinds)
assert kinds["two"] == "mlx.core.float32"
np.testing.assert_allclose([found["int8"], found["bfloat16"], found["sum"]], [100, 1, 1000])
assert [found[name] for name in ("two", "four", "int64", "uint32")] == [-(2.0**30), 0, 0, 0], "means of integers have changed"
assert found["float16"] == found["loss"] == np.inf, "means of float16 have changed"
assert found["cumsum"] == 256, "cumsum has changed"
END
