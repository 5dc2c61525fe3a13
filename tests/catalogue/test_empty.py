"""Axes of size 0, one letter of a signature at a time: a loss says of what it has none, or gives a number with a finite gradient."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss._core.axes import spatial, split_offset
from tests.cases import LOSSES, ORACLES, case, mostly_slow

INFINITE = "ctc", "rnnt", "rnnt_lattice", "rnnt_simple", "rnnt_pruned", "soft_dtw", "soft_dtw_divergence"  # without steps there is no path


def written(entry, name):
    return spatial(entry.inputs[name], entry.spatial_ndim)


def letters(entry):
    return sorted({split_offset(dim)[0] for name in entry.inputs for dim in written(entry, name) if not dim.isdigit()})


def without(entry, letter, options=None):
    """An ordinary example whose axes of this letter have size 0."""
    drawn = jloss.testing.samples(entry.public, batch=()) if options is None else case(entry.name, options).draw(())
    given = {n: np.asarray(a) for n, a in drawn.items() if entry.domains[n] not in ("tree", "key")}
    for name, array in given.items():
        for axis, dim in enumerate(written(entry, name)):
            if not dim.isdigit() and split_offset(dim)[0] == letter:
                array = np.take(array, np.arange(max(split_offset(dim)[1], 0)), axis)
        given[name] = np.zeros_like(array) if entry.domains[name] in ("length", "class") else array
    return given


@pytest.mark.parametrize("name", mostly_slow([n for n in LOSSES if "tree" not in jloss.CATALOGUE[n].domains.values()]))
def test_of_nothing_a_loss_is_a_number_or_says_what_is_missing(name):
    entry = jloss.CATALOGUE[name]
    keys = {n: jax.random.key(0) for n, d in entry.domains.items() if d == "key"}
    for letter in letters(entry):
        given = without(entry, letter)
        floats = {n: jnp.asarray(a) for n, a in given.items() if a.dtype.kind == "f"}

        def value(floats, given=given):
            return entry.public(**{**keys, **given, **floats})

        try:
            found, slopes = jax.value_and_grad(value)(floats)
        except ValueError as error:
            if not re.match(rf"{name}: .*`\w+`", str(error)):
                raise
            continue
        assert np.isfinite(found) or (name in INFINITE and found > 0), letter
        assert not any("k" in dims for dims in entry.inputs.values()) or letter != "k"  # no thresholds are those of one class
        assert all(np.isfinite(slope).all() for slope in slopes.values()), letter


@pytest.mark.parametrize("name", mostly_slow([n for n in LOSSES if n in ORACLES and "tree" not in jloss.CATALOGUE[n].domains.values()]))
def test_of_nothing_with_options_it_is_a_number_or_says_what_is_missing(name):
    entry = jloss.CATALOGUE[name]
    keys = {n: jax.random.key(0) for n, d in entry.domains.items() if d == "key"}
    for options in ORACLES[name].options[1:]:
        for letter in letters(entry):
            given = without(entry, letter, options)
            floats = {n: a for n, a in given.items() if a.dtype.kind == "f"}

            def value(floats, given=given, options=options):
                return entry.public(**{**keys, **given, **floats}, **options)

            try:
                jax.eval_shape(jax.value_and_grad(value), floats)
            except ValueError as error:
                if not re.match(rf"{name}: .*`\w+`", str(error)):
                    raise


@pytest.mark.parametrize(
    ("name", "letter", "options", "expected"),
    [
        ("triplet_margin", "d", {"p": 3.0, "margin": 2.0}, 2.0),  # all distances are 0
        ("triplet_margin", "d", {"p": np.inf, "swap": True}, 1.0),
        ("info_nce", "d", {"chunk_size": 2}, np.log(6)),  # all cosines are 0: six items are alike
        ("clip", "d", {"chunk_size": 5}, np.log(6)),
        ("uniformity", "d", {"chunk_size": 2}, 0.0),
        ("ci_sdr", "t", {"filter_length": 3}, 80.0),  # of silence
        ("ci_sdr", "t", {"filter_length": 1}, 80.0),
    ],
)
def test_of_nothing_with_options_the_value_is_that_of_zeros(name, letter, options, expected):
    entry = jloss.CATALOGUE[name]
    given = without(entry, letter)
    given |= {n: np.ones_like(a) for n, a in given.items() if entry.domains[n] == "mask"}
    floats = {n: jnp.asarray(a, jnp.float32) for n, a in given.items() if a.dtype.kind == "f"}
    value, slopes = jax.value_and_grad(lambda floats: entry.public(**{**given, **floats}, **options))(floats)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert all(np.isfinite(slope).all() for slope in slopes.values())


@pytest.mark.parametrize(
    ("name", "letter", "message"),
    [
        ("nll", "k", "nll: `log_probs` has no classes, got shape (0,)."),
        ("soft_triple_regularizer", "c", "soft_triple_regularizer: `prototypes` has no centres, got shape (5, 0, 3)."),
        ("subcenter_arcface", "c", "subcenter_arcface: `prototypes` has no centres, got shape (5, 0, 3)."),
        ("two_hot", "q", "two_hot: `logits` has no atoms, got shape (0,)."),
        ("hl_gauss", "q", "hl_gauss: `logits` has no bins, got shape (0,)."),
        ("stft", "b", "stft: `filters` has no bands, got shape (0, 513)."),
        ("router_z", "e", "router_z: `logits` has no experts, got shape (6, 0)."),
    ],
)
def test_what_is_missing_has_its_name(name, letter, message):
    entry = jloss.CATALOGUE[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        entry.public(**without(entry, letter))


@pytest.mark.parametrize("name", ["combo", "unified_focal", "mcc", "boundary", "hausdorff_dt", "hausdorff_er", "dice", "cldice"])
def test_no_pixels_are_what_ignored_pixels_are(name):
    entry = jloss.CATALOGUE[name]
    full = jloss.testing.samples(entry.public, batch=())
    ignored = entry.public(**{**full, "mask": np.zeros((4, 5), bool)})
    none = {n: a[:0] for n, a in full.items()}
    np.testing.assert_allclose(entry.public(**none), ignored, atol=1e-6)
    np.testing.assert_allclose(entry.public(**{**none, "mask": None}), ignored, atol=1e-6)
