#!/usr/bin/env bash
# torchmetrics 1.9.0: the mean absolute and squared error of two uint8 images is taken in 8 bits: differences and squares wrap around.
#
# Guess: pixels 10 and 210 differ by 200: 200 and 40000, as their peak signal-to-noise ratio from the same package has it (2.1102 dB).
# Seen:  56 and 64 (exchanged, 200 and 64), and the mean absolute percentage error is 0.2667 for 0.9524. Images as they come from a file
#        are of this type, and the wrong error is always the smaller one. With floats all are right.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" numpy
"$work/env/bin/pip" install -q "torchmetrics==1.9.0"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
import torchmetrics
from torchmetrics import functional


def errors(a, b, dtype):
    a, b = torch.tensor([a], dtype=dtype), torch.tensor([b], dtype=dtype)
    metrics = (functional.mean_absolute_error, functional.mean_squared_error, functional.mean_absolute_percentage_error)
    return [round(float(metric(a, b)), 4) for metric in metrics]


found = {"floats": errors(10, 210, torch.float32), "bytes": errors(10, 210, torch.uint8), "exchanged": errors(210, 10, torch.uint8)[:2]}
image = torch.tensor([[10]], dtype=torch.uint8), torch.tensor([[210]], dtype=torch.uint8)
ratio = float(functional.image.peak_signal_noise_ratio(*image, data_range=255.0))
print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__, found, "peak signal-to-noise ratio", ratio)
assert found["floats"] == [200, 40000, 0.9524] and abs(ratio - 2.1102) < 1e-3
assert found["bytes"] == [56, 64, 0.2667] and found["exchanged"] == [200, 64], "errors of bytes have changed"
END
