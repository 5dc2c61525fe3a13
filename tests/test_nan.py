"""A NaN in an input is a NaN in the loss of its example: a comparison with it is false, and must not pass it by in silence."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import jloss
from jloss.samples import samples
from tests.cases import LOSSES, ORACLES

# What an example does not look at may hold anything.
UNREAD = {
    ("center", "centers"): "those of other classes",
    ("kfiou", "predictions"): "the centre",
    ("kfiou", "targets"): "the centre",
    ("ldam", "margins"): "those of other classes",
    ("log_loss", "probabilities"): "those of other classes",
    ("n_pairs", "embeddings"): "items that are the third of their class, or alone in it",
    ("nll", "log_probs"): "those of other classes",
    ("wasserstein_1d", "predictions"): "the last, which the others determine",
    ("wasserstein_1d", "targets"): "the last, which the others determine",
}


def base(name: str) -> dict:
    """One example, without the inputs that may be left out."""
    loss, oracle = jloss.CATALOGUE[name].public, ORACLES[name]
    needed = samples(loss, batch=(1,), optional=False)
    drawn = oracle.sample(np.random.default_rng(0), (1,)) if oracle.sample else needed
    return {n: v for n, v in drawn.items() if n in needed}


def is_float(value) -> bool:
    return getattr(value, "dtype", None) in (np.float32, np.float64)


def lost(name: str, numbers: int = 0) -> list[str]:
    """Where a NaN does not show, for each input; a batch tries all places, again and again until it has so many numbers."""
    loss, given, found = jloss.CATALOGUE[name].public, base(name), []
    run = jax.jit(lambda given: loss(**given, reduction="none"))
    floats = [n for n, v in given.items() if is_float(v)]
    sizes = [given[n].size for n in floats]
    count = max([*sizes, numbers // sum(sizes, start=1)])  # one program for all inputs
    for wrong in floats:
        batch = {n: np.repeat(v, count, axis=0) if isinstance(v, np.ndarray) else v for n, v in given.items()}
        size = given[wrong].size
        batch[wrong].reshape(count, size)[np.arange(count), np.arange(count) % size] = np.nan
        values = np.asarray(run(batch))
        assert values.shape == (count,)
        hidden = np.flatnonzero(~np.isnan(values))
        if (name, wrong) in UNREAD:
            assert len(hidden) < count
        elif len(hidden):
            place = [int(i) for i in np.unravel_index(hidden[0] % size, given[wrong].shape[1:])]
            found.append(f"{name} is {values[hidden[0]]} although {wrong}{place} is NaN, and so in {len(hidden)} of {count} examples")
    return found


@pytest.mark.parametrize("name", LOSSES)
def test_nan_is_not_lost(name):
    assert not lost(name)


@pytest.mark.slow
def test_nan_is_not_lost_in_large_batches_of_optimised_code():
    """XLA's vectorised maximum on CPUs passes NaN over, which the small batches and the plain code of the other tests do not show."""
    code = "from tests.test_nan import *; print(*(line for name in LOSSES for line in lost(name, numbers=50_000)), sep='\\n')"
    environment = {n: v for n, v in os.environ.items() if n != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), done.stdout


def test_a_nan_does_not_stay_in_a_state():
    """One bad batch must not spoil all that come after it."""
    logits, labels = np.zeros((2, 3), np.float32), np.array([0, 1])
    targets, boxes = np.float32([[0, 0, 1, 1], [0, 0, 2, 1]]), np.float32([[0, 0, 1, 2], [0, 1, 2, 2]])
    calls = {
        "early_learning": ((2, 3), logits, labels, np.arange(2)),
        "equalized_focal": ((3,), logits, np.eye(3, dtype=np.float32)[labels]),
        "ghm": ((), logits, np.eye(3, dtype=np.float32)[labels]),
        "seesaw": ((3,), logits, labels),
        "wiou_v2": ((), boxes, targets),
        "wiou_v3": ((), boxes, targets),
    }
    assert sorted(calls) == sorted(n for n, entry in jloss.CATALOGUE.items() if entry.kind == "stateful")
    for name, (shape, first, *rest) in calls.items():
        criterion, bad = getattr(jloss, name)(), first.copy()
        bad[1, 1] = np.nan
        values, state = criterion.apply(criterion.init(*shape), bad, *rest, reduction="none")
        assert np.isnan(values[1]).any(), name
        value, _ = criterion.apply(state, first, *rest)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, state))), name
