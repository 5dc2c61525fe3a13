"""What docs/disagreements/audio.md says of jloss, and of its peers where they are installed."""

import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

import jloss

PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "disagreements" / "audio.md").read_text()
ROWS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in PAGE.splitlines() if line.startswith("| `j")]
TONE, OFFSET = [1.0, 0, -1, 0], [2.0, 1, 0, 1]
LOUD_AND_QUIET = [[2.0, 1, 4], [0.01, 0.03, 0.01]], [[2.0, 1, 2], [0.02, 0.01, 0.02]]


def number(text):
    return float(re.search(r"nan|-?\d+\.\d+", text)[0])


def said_of(example, peer):
    """The number of the peer in the row whose example begins so."""
    said = next(row[2] for row in ROWS if row[0].startswith(f"`jloss.{example}"))
    return number(said.partition(peer)[2].partition(": ")[2])


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_page_of_disagreements(row):
    """The example in the first column gives the number in the second."""
    value = eval(row[0].strip("`"), {"jloss": jloss, "jnp": jnp})
    np.testing.assert_allclose(value, number(row[1]), atol=2e-4)


def test_page_of_disagreements_has_rows():
    assert len(ROWS) >= 6
    assert all(len(row) == 5 and all(row) for row in ROWS)


def test_what_it_says_of_torchmetrics():
    audio = pytest.importorskip("torchmetrics.functional.audio")
    import torch

    def loss(p, t):
        return -audio.scale_invariant_signal_distortion_ratio(torch.tensor(p), torch.tensor(t))

    said = [number(row[2].partition("torchmetrics")[2].partition(": ")[2]) for row in ROWS[:3]]
    np.testing.assert_allclose([loss(TONE, [0.0] * 4), loss(TONE, TONE), loss(OFFSET, TONE)], said, atol=2e-4)
    exact = torch.tensor(OFFSET)
    found = -audio.signal_distortion_ratio(exact, exact, filter_length=2)
    np.testing.assert_array_equal(found, said_of("ci_sdr(jnp.array([2.0", "torchmetrics"))
    with pytest.raises(RuntimeError, match="singular"):
        audio.signal_distortion_ratio(torch.tensor(TONE), torch.zeros(4), filter_length=2)


def test_what_it_says_of_auraloss():
    auraloss = pytest.importorskip("auraloss")
    import torch

    signals = (torch.tensor(s)[:, None] for s in LOUD_AND_QUIET)
    found = auraloss.freq.STFTLoss(4, 2, 4, w_log_mag=0.0)(*signals)
    np.testing.assert_allclose(found, said_of("stft(jnp.array([[2.0", "auraloss"), atol=2e-4)
