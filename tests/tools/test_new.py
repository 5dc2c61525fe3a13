"""What `jloss new` writes: a loss that lacks its mathematics and nothing else."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from jloss.__main__ import main
from jloss._core.lookup import UsageError
from jloss.tools import new

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A copy of the package and its tests."""
    for path in ("jloss", "tests", "docs", "notebooks"):
        shutil.copytree(ROOT / path, tmp_path / path, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("*.yml")):
        shutil.copy(path, tmp_path)
    return tmp_path


def functions(path):
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_a_loss_of_a_family_takes_what_its_first_takes(checkout):
    module, package, oracle = new.write("my_loss", "classification", "entropy", None, checkout)
    stub = functions(module)["my_loss"]
    assert ast.unparse(stub.decorator_list[0]) == "loss('(k),()->()', 'real class')"
    assert ast.unparse(stub.args) == "logits: Array, labels: Array, **reduce: Unpack[OverClasses]"
    assert [a.arg for a in functions(oracle)["my_loss"].args.args] == ["logits", "labels"]
    lines = [line for line in package.read_text().splitlines() if line.startswith("from ")]
    assert lines.count("from jloss.classification.entropy import my_loss as my_loss") == 1
    assert lines == sorted(lines, key=lambda line: line.split()[1::2])
    assert {*functions(ROOT / "jloss/classification/entropy.py")} == functions(module).keys() - {"my_loss"}
    names = [*functions(module)]
    behind = names[names.index("my_loss") + 1 :]
    assert behind, "the helpers stay behind the losses"
    assert all(name.startswith("_") for name in behind)


def test_a_loss_like_another_imports_what_it_needs(checkout):
    module, _, _ = new.write("my_loss", "regression", "robust", "dice", checkout)
    assert "from jloss._core.signature import PerClass, Reduce\n" in module.read_text()
    assert "**reduce: Unpack[PerClass]) -> Array:" in module.read_text()


def test_a_new_family(checkout):
    module, _, oracle = new.write("my_loss", "vision", "blobs", None, checkout)
    assert module.read_text().startswith(
        '"""Blobs: what they have in common."""\n\nfrom typing import Unpack\n\nfrom jax import Array\n\nfrom jloss.'
    )
    assert oracle.read_text().startswith('"""Blobs, from their papers."""\n\nfrom tests.oracles import oracle\n\n\n@oracle()\ndef my_loss(')


@pytest.mark.parametrize(
    ("name", "domain", "family", "said"),
    [
        ("huber", "regression", "errors", "`huber` is taken"),
        ("vision", "regression", "errors", "`vision` is taken"),
        ("entropy", "regression", "errors", "`entropy` is taken"),
        ("mse", "regression", "errors", "`mse` is what others call `squared_error`"),
        ("my_loss", "visoin", "boxes", "no domain is called `visoin`; nearest: vision; domains: "),
        ("my_loss", ".", "blobs", "no domain is called `.`"),
        ("my_loss", "_core", "blobs", "no domain is called `_core`"),
        ("my_loss", "vision/../regression", "blobs", "no domain is called `vision/../regression`"),
        ("my_loss", "vision", "giou", "a family is a module that is not called as a loss; got `giou`."),
    ],
)
def test_what_it_refuses(name, domain, family, said):
    with pytest.raises(UsageError) as error:
        new.write(name, domain, family, None, ROOT)
    assert str(error.value).startswith(said)


HIDING = [
    ("pick", "entropy", "`pick` is the name of something else in the modules of entropy"),
    ("np", "entropy", "`np` is the name of something else in the modules of entropy"),
    ("jax", "entropy", "`jax` is the name of something else in the modules of entropy"),
    ("my_loss", "class", "a family is a module that is not called as a loss; got `class`."),
    ("my_loss", "Blobs", "a family is a module that is not called as a loss; got `Blobs`."),
    ("class", "entropy", "`class` is a word of Python"),
    ("sum", "entropy", "`sum` is a word of Python"),
]


@pytest.mark.parametrize(("name", "family", "said"), HIDING)
def test_a_name_that_would_break_its_module(checkout, monkeypatch, capsys, name, family, said):
    monkeypatch.setattr(new, "ROOT", checkout)
    before = (checkout / "jloss/classification/entropy.py").read_text()
    assert main(["new", name, "--domain", "classification", "--family", family]) == 2
    assert capsys.readouterr().err.startswith(f"jloss: {said}")
    assert (checkout / "jloss/classification/entropy.py").read_text() == before


@pytest.mark.parametrize(
    ("name", "said"), [("jax", "a module is called `jax` already, which jax.py would hide"), ("pass", "`pass` is a word of Python")]
)
def test_a_module_that_would_hide_another(tmp_path, monkeypatch, capsys, name, said):
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    assert capsys.readouterr().err.startswith(f"jloss: {said}")
    assert not [*tmp_path.iterdir()]


def test_a_loss_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main(["new", "my_own_loss", "--like", "cross_entropy"]) == 0
    assert capsys.readouterr().out == "Wrote my_own_loss.py\nWrite the formula, then: python -m jloss check my_own_loss:my_own_loss\n"
    assert main(["check", "my_own_loss:my_own_loss", "--law", "masked_equals_absent"]) == 1
    assert "NotImplementedError: my_own_loss: write the formula" in capsys.readouterr().out
    sys.modules.pop("my_own_loss", None)
    path = tmp_path / "my_own_loss.py"
    path.write_text(
        path.read_text().replace(
            'raise NotImplementedError("my_own_loss: write the formula")', "return jloss.cross_entropy(logits, labels)"
        )
    )
    assert main(["check", "my_own_loss:my_own_loss", "--law", "masked_equals_absent"]) == 0
    sys.modules.pop("my_own_loss", None)
    assert main(["new", "my_own_loss"]) == 2
    assert capsys.readouterr().err == "jloss: my_own_loss.py is there already.\n"
    assert main(["new", "MyLoss"]) == 2
    assert main(["new", "my_loss", "--domain", "vision"]) == 2


@pytest.mark.slow
def test_only_the_formula_is_missing(checkout):
    """All tests of the new losses pass, but for those that say what to write; so do the rules of the house."""
    new.write("my_loss", "classification", "entropy", None, checkout)
    new.write("my_other_loss", "vision", "blobs", None, checkout)
    files = ["tests/catalogue", "tests/core/test_aliases.py", "tests/test_house.py"]
    which = "my_loss or my_other_loss or test_house or alias"
    words = ["-q", "-p", "no:xdist", "-m", "slow or not slow", "-k", which, "--junitxml=report.xml", "-o", "junit_family=xunit1"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST")}
    done = subprocess.run([sys.executable, "-m", "pytest", *files, *words], cwd=checkout, env=environment, capture_output=True, text=True)
    cases = [*ElementTree.parse(checkout / "report.xml").iter("testcase")]
    failed = [case for case in cases if case.findall("failure") or case.findall("error")]
    told = {case.get("name"): "".join(child.text or "" for child in case) for case in failed}
    assert "test_oracle[my_loss]" in told, done.stdout
    assert {name: text for name, text in told.items() if "write the formula" not in text} == {}
    passed = {case.get("name") for case in cases} - told.keys()
    assert {"test_docstring[my_loss]", "test_is_exported[my_other_loss]", "test_no_loss_is_called_as_a_module"} <= passed
