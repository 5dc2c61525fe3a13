"""A NaN in an input is a NaN in the loss of its example: a comparison with it is false, and must not pass it by in silence."""

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import jax
import numpy as np
import pytest
from jax import Array

import jloss
from jloss.testing.samples import SCENES, hard_samples, samples
from tests.cases import LOSSES, ORACLES, case, each_alone, mostly_slow


def of_another_class(given, place):
    return place[0] != given["labels"][0]


def without_partner(given, place):
    """The third item of its class, or the only one."""
    labels = given["labels"][0]
    same = np.flatnonzero(labels == labels[place[0]])
    return len(same) == 1 or place[0] not in same[:2]


def of_another_action(given, place):
    return place[-1] != given["actions"][0][place[:-1]]


# The places that an example does not look at, which may hold anything.
UNREAD = {
    ("center", "centers"): of_another_class,
    ("kfiou", "predictions"): lambda given, place: place[0] < 2,  # the centre
    ("kfiou", "targets"): lambda given, place: place[0] < 2,
    ("ldam", "margins"): of_another_class,
    ("log_loss", "probabilities"): of_another_class,
    ("masked_diffusion", "logits"): lambda given, place: not given["masked"][0][place[0]],
    ("multivariate_gaussian_kl", "factors"): lambda given, place: place[1] > place[0],  # above the diagonal
    ("n_pairs", "embeddings"): without_partner,
    ("q_learning", "q"): of_another_action,
    ("sarsa", "q"): of_another_action,
    ("sarsa", "next_q"): lambda given, place: place[0] != given["next_actions"][0],
    ("expected_sarsa", "q"): of_another_action,
    ("munchausen", "q"): of_another_action,
    ("retrace", "q"): of_another_action,
    ("retrace", "behaviour_probs"): lambda given, place: place[0] == given["q"].shape[1] - 1,  # no trace leads beyond the last step
    ("nll", "log_probs"): of_another_class,
    ("score_entropy", "log_scores"): lambda given, place: place[0] == given["noisy"][0],
    ("variational_bound", "targets"): lambda given, place: not given["first"][0],
    ("wasserstein_1d", "predictions"): lambda given, place: place[0] == given["predictions"].size - 1,  # the others determine it
    ("wasserstein_1d", "targets"): lambda given, place: place[0] == given["targets"].size - 1,
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
    """Where a NaN that is read does not show, or one that is not read does, for each input.

    A batch tries all places, again and again until it has so many numbers.
    """
    loss, given, found = jloss.CATALOGUE[name].public, base(name), []
    floats = [n for n, v in given.items() if is_float(v)]
    sizes = [given[n].size for n in floats]
    count = max([*sizes, numbers // sum(sizes, start=1)])  # one program for all inputs
    hard, hard_count = (None if numbers else hard_samples(loss)) or ({}, 0)
    kinds, wanted = (jax.tree.map(lambda v: (v.dtype, v.shape[1:]), arrays) for arrays in (hard, given))
    if kinds == wanted and count <= hard_count:
        count = hard_count  # that of test_edges.py
        differentiated = case(name).floats(given)

        def run(batch):
            chosen = {n: v for n, v in batch.items() if n in differentiated}
            return each_alone(name)(chosen, {n: v for n, v in batch.items() if n not in chosen})[0][1]

    else:
        run = jax.jit(lambda given: loss(**given, reduction="none"))
    for wrong in floats:
        batch = {n: np.repeat(v, count, axis=0) if isinstance(v, np.ndarray) else v for n, v in given.items()}
        size = given[wrong].size
        batch[wrong].reshape(count, size)[np.arange(count), np.arange(count) % size] = np.nan
        values = np.asarray(run(batch))
        assert values.shape == (count,)
        unread = UNREAD.get((name, wrong), lambda given, place: False)
        places = [np.unravel_index(i % size, given[wrong].shape[1:]) for i in range(count)]
        astray = [i for i, place in enumerate(places) if np.isnan(values[i]) == bool(unread(given, place))]
        if astray:
            place = [int(i) for i in places[astray[0]]]
            found.append(f"{name} is {values[astray[0]]} if {wrong}{place} is NaN, and so on in {len(astray)} of {count} examples")
    return found


@pytest.mark.parametrize("name", mostly_slow(LOSSES))
def test_nan_is_not_lost(name):
    assert not lost(name)


@pytest.mark.slow
@pytest.mark.parametrize("names", ["FIRST", pytest.param("set(LOSSES) - FIRST", marks=pytest.mark.sweep)])
def test_nan_is_not_lost_in_large_batches_of_optimised_code(names):
    """XLA's vectorised maximum on CPUs passes NaN over, which the small batches and the plain code of the other tests do not show."""
    code = f"""if True:
        from tests.catalogue.test_nan import *
        from tests.cases import FIRST
        print(*(line for name in sorted({names}) for line in lost(name, numbers=50_000)), sep="\\n")
    """
    environment = {n: v for n, v in os.environ.items() if n != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.strip(), done.stdout


FLOORS = {
    ("discretized_logistic_mixture", "min_log_scale"),
    ("gaussian_nll", "epsilon"),
    ("stft", "epsilon"),
    ("multi_resolution_stft", "epsilon"),
    ("mel", "epsilon"),
    ("complex_stft", "epsilon"),
    ("compressed_spectral", "epsilon"),
    ("log_iou", "epsilon"),
    ("detr", "boxes_per_image"),
}  # one that is NaN is none
UNUSED = {  # with these inputs
    *(("diffusion", option) for option in ("gamma", "p2_gamma", "p2_k", "bias")),
    *(("flow_matching", option) for option in ("location", "scale")),
    ("poisson_nll", "epsilon"),
    ("varifocal", "alpha"),
    ("varifocal", "gamma"),
    ("dpo", "tau"),
    ("f_dpo", "alpha"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_nan_of_an_option_is_not_lost(name):
    """A learned temperature that has become NaN must not look like a loss of 0."""
    inputs, public = case(name).draw((len(SCENES),)), jloss.CATALOGUE[name].public  # as the law options_matter, whose program it is
    numbers = {n: np.float32(v) for n, v in jloss.CATALOGUE[name].options.items() if isinstance(v, float)}
    for option, parameter in inspect.signature(jloss.CATALOGUE[name].core).parameters.items():
        if (
            option in inputs
            or option in ("where", "weights")
            or not {float, Array} & {parameter.annotation, *get_args(parameter.annotation)}
        ):
            continue
        if (name, option) not in FLOORS | UNUSED:
            assert np.isnan(public(**inputs, reduction="none", **numbers | {option: np.float32(np.nan)})).any(), option


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
