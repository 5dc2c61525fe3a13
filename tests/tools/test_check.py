"""`jloss check`: the laws of a loss of one's own, the example and the line that break one, and what cannot be checked."""

import sys

import pytest

import jloss
from tests.tools.conftest import interrupted

MINE = """
import functools
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jloss


@jloss.loss("(d),(d)->()", "real real")
def sound(predictions: Array, targets: Array, *, scale: float = 1.0, **reduce: Unpack[jloss.Reduce]) -> Array:
    return jnp.sum(jnp.square(predictions - targets)) / scale


@jloss.loss("(k),()->()", "real class")
def clamped(logits: Array, labels: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
    return jax.nn.logsumexp(logits) - logits[labels]


@jloss.loss("(),()->()", "real real")
def halved(predictions: Array, targets: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
    error = predictions - targets
    return error * jax.lax.stop_gradient(error)


@jloss.loss("(d),(d)->()", "real real")
def branches(predictions: Array, targets: Array, **reduce: Unpack[jloss.Reduce]) -> Array:
    error = jnp.sum(predictions - targets)
    if error > 0:
        return error
    return -error


def plain(predictions, targets):
    return jnp.mean((predictions - targets) ** 2)


def one_number(predictions, targets):
    if predictions.shape != targets.shape:
        raise ValueError("shapes differ")
    error = predictions.astype(jnp.float32) - targets.astype(jnp.float32)
    return jnp.mean(jnp.square(error)) if predictions.dtype == jnp.bfloat16 else jnp.mean(jnp.square(predictions - targets))


tilted, narrow = jloss.tilted(jloss.huber, 2.0), functools.partial(jloss.huber, delta=0.5)
arrays = np.array([0.7, -0.4, 1.3], np.float32), np.array([0.1, 0.2, 1.0], np.float32)
seven, remembers = 7, jloss.wiou_v3()
"""


@pytest.fixture
def mine(say, tmp_path, monkeypatch):
    """`check` in a directory with a module of losses: status, report, complaint."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("x = 1 / 0")
    (tmp_path / "needy.py").write_text("import surely_absent")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield lambda *argv: say("check", *argv)
    for module in ("mine", "broken", "needy"):
        sys.modules.pop(module, None)


QUICK = ("--law", "batch_equals_one_by_one,gradient_is_the_derivative,label_out_of_range_is_nan,hard_points_have_no_nan")


@pytest.mark.parametrize("target", ["mine:sound", "mine.py:narrow", "mine:tilted", "jloss:absolute_error"])
def test_check_passes_a_sound_loss(mine, target):
    status, out, err = mine(target, *QUICK)
    assert (status, err) == (0, "")
    assert out.count("  ok ") == 4
    assert out.endswith("all 4 laws hold.\n")


@pytest.mark.slow
def test_check_of_all_laws(mine):
    status, out, _ = mine("mine:sound", "--option", "scale=2.0")
    assert status == 0, out
    assert "all 23 laws hold" in out
    assert mine("mine:sound", "--option", "scale=0.0", *QUICK)[0] == 1  # a division by 0, and the report says so


@pytest.mark.slow
def test_check_reports_law_example_and_remedy(mine):
    status, out, _ = mine("mine:clamped", *QUICK)
    assert status == 1
    assert "clamped: 3 laws hold, 1 broken." in out
    for part in (
        "BROKEN  label_out_of_range_is_nan",
        "label -1 gives",
        "not NaN",
        "With inputs    logits = ",
        "What to do     pick the label's",
    ):
        assert part in out
    assert "Run it alone   python -m jloss check mine:clamped --law label_out_of_range_is_nan" in out


def test_check_of_a_name_that_is_not_there_says_how_many_are(mine):
    assert mine("jloss:zzz")[2].endswith(f", ... ({len(jloss.CATALOGUE)}).\n")


def test_a_stopped_check_reports_what_is_broken_so_far(mine, monkeypatch):
    from jloss.tools import check

    monkeypatch.setattr(check, "_check", interrupted(check._check, 4))
    status, out, err = mine("mine:clamped", "--quick", *QUICK)
    assert (status, err) == (130, "jloss: stopped; 3 of 4 laws tried, 1 broken\n")
    assert "1. label_out_of_range_is_nan" in out


@pytest.mark.slow
def test_check_finds_a_small_example(mine):
    status, out, _ = mine("mine:halved", *QUICK)
    assert status == 1
    assert "With inputs    predictions = 0.1\n                  targets = 0.4\n                  in each of 4 examples" in out
    assert mine("mine:halved", "--stops-gradients", *QUICK)[0] == 0


def test_check_names_the_line_once_however_many_laws_it_stops(mine):
    status, out, _ = mine("mine:branches", *QUICK)
    assert status == 1
    assert out.count("What to do") == 1
    assert "Where          mine.py:" in out
    assert ": if error > 0:" in out
    assert "`jnp.where(condition, a, b)` instead of `if`" in out


@pytest.mark.slow
def test_check_of_a_plain_function(mine, at_ease):
    status, out, _ = mine("mine:plain", "--inputs", "arrays")
    assert status == 1
    assert "BROKEN  never_broadcasts" in out
    assert "BROKEN  half_gives_float32" in out
    assert "What to do     require equal shapes" in out
    assert mine("mine:one_number", "--inputs", "mine:arrays")[0] == 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("mine",), "check reads MODULE:LOSS, as mylosses:my_loss; got `mine`."),
        (("min:sound",), "no module is called `min`"),
        (("/nowhere/mine.py:sound",), "check reads a module of this directory, or an installed one; got `/nowhere/mine.py:sound`."),
        (("../mine.py:sound",), "check reads a module of this directory, or an installed one; got `../mine.py:sound`."),
        (("needy:loss",), "`needy` cannot be imported: it needs `surely_absent`, which is not installed."),
        (("broken:loss",), "`broken` cannot be imported: ZeroDivisionError: division by zero (broken.py:1)"),
        (("mine:clampt",), "`mine` has no `clampt`; nearest: clamped."),
        (("mine:xyz",), "`mine` has no `xyz`; its losses: sound, clamped, halved, branches, tilted."),
        (("jloss:mse",), "`jloss` has no `mse`; it is `squared_error`."),
        (("jloss:zzz",), "`jloss` has no `zzz`; its losses: "),
        (("mine:seven",), "`mine:seven` is not a loss, but an int."),
        (("mine:plain",), "`mine:plain` is a plain function. Write it with @jloss.loss"),
        (("mine:plain", "--inputs", "seven"), "--inputs: `mine:seven` must be a tuple of arrays"),
        (("mine:remembers",), "this is a loss with memory"),
        (("jloss:l2",), "l2 is a penalty function"),
        (("mine:sound", "--law", "masked_equal"), "no law is called `masked_equal`; nearest: masked_equals_absent"),
        (("mine:sound", "--option", "scal=2"), "sound has no option `scal`; nearest: scale"),
        (("mine:plain", "--inputs", "arrays", "--option", "scale=2"), "--option is for losses written with @jloss.loss; bind `scale=2`"),
        (("mine:sound", "--option", "scale"), "--option reads NAME=VALUE, as delta=2.0; got `scale`."),
    ],
)
def test_check_explains_what_it_cannot_check(mine, argv, said):
    status, out, err = mine(*argv)
    assert (status, out) == (2, "")
    assert err.startswith(f"jloss: {said}")
