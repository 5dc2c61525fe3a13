"""The two mel scales: as wide as pitch is heard."""

import numpy as np


def _hertz_to_htk(hertz: np.ndarray) -> np.ndarray:
    return 2595 * np.log10(1 + hertz / 700)


def _htk_to_hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)


def _hertz_to_slaney(hertz: np.ndarray) -> np.ndarray:
    """15 mels are 1000 Hz; above, 27 mels are a factor of 6.4."""
    return np.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4))


def _slaney_to_hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


MEL_SCALES = {"slaney": (_hertz_to_slaney, _slaney_to_hertz), "htk": (_hertz_to_htk, _htk_to_hertz)}
