"""Docstrings: a first line, a formula, every argument, an example that is true, a reference with a link."""

import doctest
import importlib
import inspect
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss

MODULES = [m.name for m in pkgutil.walk_packages(jloss.__path__, "jloss.") if not m.name.endswith("__main__")]


@pytest.mark.parametrize("name", sorted(jloss.CATALOGUE))
def test_docstring(name):
    entry = jloss.CATALOGUE[name]
    doc = inspect.getdoc(entry.public) or ""
    first = doc.partition("\n")[0]
    assert first.endswith("."), f"{name}: the first line is one sentence, by which a person can choose"
    assert ".. math::" in doc, f"{name}: no formula"
    assert ">>> " in doc, f"{name}: no example"
    assert re.search(r"References:\n(.|\n)*https://", doc), f"{name}: no reference with a link"
    for argument in [*entry.inputs, *entry.options] if entry.kind == "loss" else entry.options:
        assert re.search(rf"^\s+{argument}(, \w+)*: ", doc, re.M), f"{name}: `{argument}` is not under Args"


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_doctests(module):
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as missing:
        pytest.skip(f"needs the extra that has {missing.name}")
    names = {n: getattr(jloss, n) for n in dir(jloss) if not n.startswith("_")}
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(checker=Numbers(), optionflags=flags, verbose=False)
    for test in finder.find(loaded, globs={**vars(loaded), **names, "jax": jax, "jnp": jnp, "np": np, "jloss": jloss}):
        failures: list[str] = []
        runner.run(test, out=failures.append)
        assert not failures, "".join(failures)


class Numbers(doctest.OutputChecker):
    """Numbers agree to the digits that the docstring prints, or to a few roundings of float32."""

    number = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")

    def check_output(self, want, got, optionflags):
        if super().check_output(want, got, optionflags):
            return True
        blank = [re.sub(r"\s+", "", self.number.sub("#", text)) for text in (want, got)]
        pairs = list(zip(self.number.findall(want), self.number.findall(got), strict=False))
        same = len(self.number.findall(want)) == len(self.number.findall(got))
        return same and blank[0] == blank[1] and all(self.agree(w, g) for w, g in pairs)

    @staticmethod
    def agree(want, got):
        digits = len(want.partition("e")[0].partition(".")[2])
        half = 0.5 * 10.0 ** (int(want.partition("e")[2] or 0) - digits) if digits else 0.0  # a whole number is meant as it stands
        return abs(float(want) - float(got)) <= half + 4e-6 * abs(float(want))  # float32 rounds differently from machine to machine


@pytest.mark.parametrize(("want", "got"), [("1.", "0.8333"), ("[1, 1]", "[0, 0]"), ("[0, 2]", "[1, 1]"), ("1.1119", "1.11199")])
def test_an_example_that_is_not_true_is_found(want, got):
    assert not Numbers().check_output(want, got, 0)
    assert Numbers().check_output("Array([0.3333], dtype=float32)", "Array([0.33333334], dtype=float32)", 0)
    assert Numbers().check_output("Array(1., dtype=float32)", "Array(0.99999994, dtype=float32)", 0)


def test_every_public_name_is_documented():
    for name in dir(jloss):
        thing = getattr(jloss, name)
        if callable(thing) and not name.startswith("_"):
            assert inspect.getdoc(thing), f"jloss.{name} has no docstring"
