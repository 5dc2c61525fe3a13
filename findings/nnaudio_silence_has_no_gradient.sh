#!/usr/bin/env bash
# nnAudio 0.3.4, torch 2.13.0: a stretch of silence in a recording makes the gradient of its spectrogram nan for all samples near it: the
# magnitude is a square root, guarded against 0 only if the Fourier kernels themselves are trained. Mel, MFCC and gammatone follow.
#
# Guess: layers that are made to be trained through have a finite gradient for a recording that ends in zeros, as a padded one does; a mel
#        spectrogram of power 2 is a sum of squares, and its gradient at silence is 0.
# Seen:  with 3000 samples of noise and 9000 zeros 8928 samples of the gradient are nan in the magnitude of STFT, and 8672 in
#        MelSpectrogram, of power 2, too, as the square is taken of that root, MFCC and Gammatonegram. With trainable=True STFT has none.
#        The loss is finite: whatever is trained through the layer is nan after one step with a padded batch, and nothing says why.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install -q "torch==2.13.0" "numpy==2.4.6" "scipy==1.17.1" "nnAudio==0.3.4"
cd "$work"
"$work/env/bin/python" - <<'END'
import torch
from nnAudio import features

torch.manual_seed(0)
recording = torch.cat([torch.randn(1, 3000), torch.zeros(1, 9000)], dim=1)
options = {"n_fft": 512, "verbose": False}
layers = {
    "STFT": features.STFT(output_format="Magnitude", **options),
    "STFT, trainable": features.STFT(output_format="Magnitude", trainable=True, **options),
    "mel, power 2": features.MelSpectrogram(sr=16000, power=2.0, **options),
    "MFCC": features.MFCC(sr=16000, n_mfcc=13, **options),
    "gammatone": features.Gammatonegram(sr=16000, **options),
}


def lost(function):
    """How many samples have no gradient, and whether the value is finite."""
    x = recording.clone().requires_grad_()
    value = function(x).sum()
    value.backward()
    return int(x.grad.isnan().sum()), bool(value.isfinite())


def squares(x):
    """A spectrogram of power 2 by torch alone."""
    return torch.view_as_real(torch.stft(x, 512, window=torch.hann_window(512), return_complex=True)).square().sum(-1)


found = {name: lost(layer) for name, layer in layers.items()}
print("torch", torch.__version__, "samples without a gradient:", found, "torch alone:", lost(squares))
assert lost(squares) == found["STFT, trainable"] == (0, True)
assert all(finite for _, finite in found.values())
assert found["STFT"][0] == 8928 and all(found[name][0] > 8000 for name in ("mel, power 2", "MFCC", "gammatone")), "silence has changed"
END
