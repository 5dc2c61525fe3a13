"""The transform of losses by which sources are assigned to mixtures."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.testing import check
from tests.oracles.audio import waveform as oracles
from tests.peers import draws

SEPARATED = jloss.mixture_invariant(jloss.snr)


def by_enumeration(sources, mixtures):
    sources, mixtures = (np.asarray(x, np.float64) for x in (sources, mixtures))
    found = []
    for second in itertools.product([0, 1], repeat=len(sources)):
        goes = np.array(second)
        found.append(sum(oracles.snr((goes == i) @ sources, mixtures[i]) for i in (0, 1)) / 2)
    return min(found)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_is_the_least_of_all_assignments(count):
    sources, mixtures = draws((4, count, 6), (4, 2, 6), seed=count)
    wanted = [by_enumeration(s, m) for s, m in zip(sources, mixtures, strict=True)]
    np.testing.assert_allclose(SEPARATED(sources, mixtures, reduction="none"), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_gradient_is_that_of_the_best_assignment():
    """Sources 0 and 2 make the first mixture, 1 the second."""
    (sources,) = draws((3, 8))
    mixtures = np.stack([sources[0] + sources[2], sources[1]]) + 0.1 * draws((2, 8), seed=1)[0]
    value, gradient = jax.value_and_grad(SEPARATED)(sources, mixtures)
    wanted = [jax.value_and_grad(jloss.snr)(*pair) for pair in ((sources[0] + sources[2], mixtures[0]), (sources[1], mixtures[1]))]
    np.testing.assert_allclose(value, (wanted[0][0] + wanted[1][0]) / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient, np.stack([wanted[0][1], wanted[1][1], wanted[0][1]]) / 2, rtol=1e-4, atol=1e-6)
    same = jax.grad(lambda m: SEPARATED(sources, m))(mixtures)
    np.testing.assert_allclose(same[1], jax.grad(jloss.snr, 1)(sources[1], mixtures[1]) / 2, rtol=1e-4, atol=1e-6)


def test_of_equal_assignments_the_first_counts():
    """Both sources and both mixtures are equal: the first source goes to the first mixture, as 01 comes before 10."""
    signal = jnp.array([1.0, -1.0])
    squared = jloss.mixture_invariant(jloss.squared_error)
    near = jax.grad(lambda s: squared(s, jnp.stack([signal, 2 * signal])))(jnp.stack([signal, signal]))
    np.testing.assert_allclose(near, [[0, 0], [-0.5, 0.5]], atol=1e-7)  # half of the mean over two of 2 (1 - 2)


@pytest.mark.slow
def test_silence_and_bad_numbers():
    value, gradient = jax.value_and_grad(SEPARATED)(jnp.zeros((2, 4)), jnp.zeros((2, 4)))
    np.testing.assert_allclose(value, 80, rtol=1e-6)
    np.testing.assert_array_equal(gradient, np.zeros((2, 4)))
    assert np.isnan(SEPARATED(jnp.full((2, 4), jnp.nan), jnp.ones((2, 4))))


@pytest.mark.slow
def test_more_sources_than_can_be_held_at_once_and_spectra():
    """Six sources are 64 assignments, in four goes, also of a loss with frames."""
    sources, mixtures = draws((6, 40), (2, 40))
    tiny = functools.partial(jloss.stft, fft_size=16, hop_size=8)
    loss = jloss.mixture_invariant(tiny)
    each = [
        (tiny((goes == 0) @ sources, mixtures[0]) + tiny((goes == 1) @ sources, mixtures[1])) / 2
        for goes in (np.array(second) for second in itertools.product([0, 1], repeat=6))
    ]
    np.testing.assert_allclose(loss(sources, mixtures), min(each), rtol=1e-5)


@pytest.mark.slow
def test_keeps_the_contract():
    laws = [
        "masked_equals_absent",
        "parts_add_up",
        "shard_map_equals_one_device",
        "sharded_batch_gathers_nothing",
        "batch_equals_one_by_one",
    ]
    report = check(SEPARATED, laws=[*laws, "exports_with_symbolic_batch", "gradient_is_the_derivative", "transformations_compose"])
    assert report, str(report)


def test_what_it_does_not_take():
    with pytest.raises(TypeError, match="mixture_invariant: needs a loss of predictions and targets of one kind; cross_entropy takes"):
        jloss.mixture_invariant(jloss.cross_entropy)
    with pytest.raises(ValueError, match="axis `2` of `mixtures` has size 3"):
        SEPARATED(jnp.zeros((2, 4)), jnp.zeros((3, 4)))
