"""What signatures say: to people, to type checkers, and that both are told the same."""

import ast
import inspect
import io
import pydoc
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import jloss
from jloss.tools import stubs

PACKAGE = Path(jloss.__file__).parent
STUBS = stubs.stubs(PACKAGE)
PUBLIC = [n for n in dir(jloss) if n[0] != "_" and callable(getattr(jloss, n)) and not isinstance(getattr(jloss, n), type)]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_signature_reads_as_its_source(name):
    shown = inspect.signature(getattr(jloss, name))
    text = str(shown.replace(parameters=[p.replace(default=p.empty) for p in shown.parameters.values()]))
    assert not any(word in text for word in ("jax", "jloss", "typing", "collections", "Union", "'Array'", "<class")), text


def test_help_shows_what_an_option_may_be():
    page = io.StringIO()
    pydoc.Helper(output=page).help(jloss.huber)
    text = " ".join(page.getvalue().split()).replace("( ", "(")  # Python 3.13 has a parameter a line
    assert "huber(predictions: Array, targets: Array, *, delta: float | Array = 1.0, where: Array | None = None" in text


def signatures(name):
    """The signatures that the stubs have of a function."""
    entry = jloss.CATALOGUE[name]
    text = STUBS[entry.core.__module__.removeprefix("jloss.").replace(".", "/") + ".pyi"]
    return [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name]


def default_of(node):
    if node is None:
        return inspect.Parameter.empty
    return "computed" if isinstance(node, ast.Constant) and node.value is ... else ast.literal_eval(node)


@pytest.mark.parametrize("name", jloss.CATALOGUE)
def test_a_stub_has_the_parameters_of_its_loss(name):
    shown = inspect.signature(jloss.CATALOGUE[name].public).parameters
    found = signatures(name)
    assert len(found) == (2 if "reduction" in shown else 1)
    for node in found:
        listed = node.args
        plain = dict(zip([a.arg for a in listed.args], [None] * (len(listed.args) - len(listed.defaults)) + listed.defaults, strict=True))
        keywords = dict(zip([a.arg for a in listed.kwonlyargs], listed.kw_defaults, strict=True))
        assert list(plain) == [n for n, p in shown.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert {*keywords} == {n for n, p in shown.items() if p.kind is p.KEYWORD_ONLY}
        for parameter, default in (plain | keywords).items():
            if default_of(default) != "computed" and parameter != "reduction":
                assert default_of(default) == shown[parameter].default, parameter


@pytest.mark.parametrize("name", [n for n, entry in jloss.CATALOGUE.items() if entry.kind == "loss"])
def test_a_stub_takes_what_runs(name):
    for node, result in zip(signatures(name), ["Array", "tuple[Array, Array]"], strict=True):
        said = {a.arg: ast.unparse(a.annotation) for a in (*node.args.args, *node.args.kwonlyargs)}
        assert ast.unparse(node.returns) == result
        for parameter, annotation in said.items():
            words = annotation.split(" | ")
            assert "Array" not in words, f"{parameter} takes NumPy arrays, too: {annotation}"
            assert "float" not in words or "ArrayLike" in words, f"{parameter} takes arrays, too: {annotation}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with jloss as a wheel has it, and a user's file."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, folder / "jloss", ignore=shutil.ignore_patterns("__pycache__"))
    stubs.write(PACKAGE, folder / "jloss")
    shutil.copy(Path(__file__).with_name("usage.py"), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_see_what_usage_says(installed, checker):
    if not find_spec(checker):
        pytest.skip(f"{checker} is not installed")
    if subprocess.run([sys.executable, "-m", checker, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"{checker} cannot be fetched")  # pyright comes from npm when it is first called
    options = ["--strict", "--follow-imports=silent"] if checker == "mypy" else ["--pythonpath", sys.executable]
    done = subprocess.run([sys.executable, "-m", checker, *options, "usage.py"], cwd=installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
