"""What stands beside the losses, targets, decoders, numerics: plain functions that say what they are and what was wrong."""

import copy
import importlib
import inspect
import pickle
import pydoc
import re
import types

import jax.numpy as jnp
import pytest

import jloss

COMPILED = [
    *("gae", "lambda_returns", "vtrace_targets", "categorical_projection", "token_log_probs", "ctc_alignment", "ctc_greedy_decode"),
    *("crf_decode", "crf_marginals", "rnnt_prune", "rnnt_ranges", "soft_dtw_alignment"),
]
STEPS, LOGITS = jnp.ones(3), jnp.ones((3, 4))


def test_no_public_function_is_what_jit_makes():
    assert [n for n in jloss.__all__ if hasattr(getattr(jloss, n), "lower")] == []
    assert all(type(getattr(jloss, n)) is types.FunctionType for n in COMPILED)


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_function_pickles_by_its_name(name):
    function = getattr(jloss, name)
    assert function is pickle.loads(pickle.dumps(function)) is copy.copy(function) is copy.deepcopy(function)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: jloss.gae(STEPS, jnp.ones(4), STEPS, lamb=1.0), "gae: unknown keyword `lamb`; did you mean `lam`?"),
        (lambda: jloss.gae(STEPS, jnp.ones(4)), "gae: missing a required argument: 'discounts'."),
        (lambda: jloss.gae(None, jnp.ones(4), STEPS), "gae: `rewards` must be an array, of JAX or NumPy, got None."),
        (lambda: jloss.n_step_returns("a", STEPS, STEPS, 2), "n_step_returns: `rewards` must be an array, of JAX or NumPy, got 'a'."),
        (lambda: jloss.ctc_greedy_decode(LOGITS, blnk=1), "ctc_greedy_decode: unknown keyword `blnk`; did you mean `blank`?"),
        (lambda: jloss.ctc_greedy_decode("a"), "ctc_greedy_decode: `logits` must be an array, of JAX or NumPy, got 'a'."),
        (lambda: jloss.crf_decode(LOGITS), "crf_decode: missing a required argument: 'transitions'."),
        (
            lambda: jloss.categorical_projection(STEPS, jnp.ones(4), STEPS),
            "categorical_projection: axis `m` of `probs` has size 4, but 3 is expected from `points`.",
        ),
        (
            lambda: jloss.categorical_projection(LOGITS, jnp.ones((1, 4)), STEPS),
            "categorical_projection: `probs` has batch axes (1,), but `points` has (3,); losses do not broadcast batch axes.",
        ),
    ],
)
def test_a_wrong_call_names_the_function_and_the_argument(call, said):
    with pytest.raises((TypeError, ValueError), match=re.escape(said)):
        call()


@pytest.mark.parametrize("entry", [jloss.CATALOGUE["huber"], jloss.CATALOGUE["seesaw"], jloss.CATALOGUE["l1"]], ids=lambda e: e.name)
def test_what_is_known_of_a_loss_pickles(entry):
    assert entry is pickle.loads(pickle.dumps(entry)) is copy.copy(entry) is copy.deepcopy(entry)


def test_there_is_one_catalogue():
    assert jloss.CATALOGUE is pickle.loads(pickle.dumps(jloss.CATALOGUE)) is copy.deepcopy(jloss.CATALOGUE)


def test_what_is_known_of_a_loss_that_was_made_pickles():
    entry = jloss.entry(jloss.tilted(jloss.huber, 2.0))
    again = pickle.loads(pickle.dumps(entry))
    assert (again.name, again.public, again.inputs) == (entry.name, entry.public, entry.inputs)
    assert pickle.loads(pickle.dumps(jloss.CATALOGUE["huber"]._replace(public=jloss.quantile, core=None))).public is jloss.quantile


@pytest.mark.parametrize("module", ["numerics", "testing", "plotting", "compat.torch", "compat.keras", "transforms"])
def test_help_shows_signatures_as_people_read_them(module):
    shown = importlib.import_module(f"jloss.{module}")
    exported = getattr(shown, "__all__", [n for n, f in vars(shown).items() if f"jloss.{module}" in getattr(f, "__module__", "")])
    functions = [getattr(shown, n) for n in exported if inspect.isfunction(getattr(shown, n)) and not n.startswith("_")]
    assert functions
    for function in functions:
        line = pydoc.plain(pydoc.render_doc(function)).splitlines()[2]
        assert not re.search(r"jaxlib|typing\.|collections\.|jloss\.|~", line), line


def test_numbers_that_are_of_python_alone_are_not_called_arrays():
    parameters = inspect.signature(jloss.compat.torch.triplet_margin_loss).parameters
    assert (str(parameters["anchor"].annotation), str(parameters["margin"].annotation)) == ("Array", "float")
    assert str(inspect.signature(jloss.numerics.safe_divide).parameters["fallback"].annotation) == "float | Array"
