"""README and CONTRIBUTING say what is true: every name, every link, the code, the commands."""

import ast
import re
import tomllib
import typing
from pathlib import Path

import jax
import numpy as np
import pytest

import jloss
from jloss import numerics
from jloss.__main__ import domains, markdown, parser
from jloss._core import loss as loss_module

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
NAME = re.compile(r"`(\w+)`")


def cells(text):
    """The rows of the first markdown table, without its header."""
    table = re.search(r"^\|.*\n(?:\|.*\n?)+", text, re.M)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)


def test_readme_is_of_one_screen():
    assert len(README.read_bytes()) <= 8000


def test_readme_has_a_row_for_every_domain():
    rows = {re.match(r"\[`jloss\.(\w+)`\]\((\S+)\)$", row[0]).groups(): row[1:] for row in cells(README.read_text())}
    packages = {domain: link for domain, link in rows}
    missing = domains().keys() - packages.keys()
    assert not missing, f"README.md lacks a row of jloss.{min(missing)}: what it is for, and what to start with"
    for (domain, link), (purpose, start) in rows.items():
        assert link in (f"jloss/{domain}", f"jloss/{domain}.py")
        assert purpose
        for name in NAME.findall(start):
            entry = jloss.CATALOGUE.get(name)
            assert entry.domain == domain if entry else hasattr(getattr(jloss, domain), name), f"README.md: {name} is not in jloss.{domain}"
        assert NAME.findall(start)


def test_markdown_has_every_loss_once():
    names = [name for row in cells(markdown()) for name in NAME.findall(row[0])]
    assert sorted(names) == sorted(jloss.CATALOGUE)


def test_recommended_losses_exist():
    rows = cells((ROOT / "docs/which.md").read_text())
    names = {name for row in rows for name in NAME.findall(row[1])}
    assert names
    assert {n for n in names if not hasattr(jloss, n)} == set()
    assert all(len(row) == 4 and all(row[1:]) for row in rows)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_code_is_valid(page):
    assert blocks(page)
    for block in blocks(page):
        ast.parse(block)


@pytest.mark.slow
def test_readme_code_runs():
    names = {"__name__": "readme"}
    for block in blocks("README.md"):
        exec(compile(block, "README.md", "exec"), names)
    assert float(names["my_loss"](np.array([[1.0, 3.0], [2.0, 0.0]], np.float32), np.array([0, 0]))) == 1.0  # the mean of 2 and 0


def test_the_loss_of_contributing_works():
    """The page's function and its oracle agree, with nothing else to write."""
    function, oracle = blocks("CONTRIBUTING.md")
    names = {n: getattr(module, n) for module in (typing, jax, jloss, numerics, loss_module) for n in dir(module) if not n.startswith("_")}
    names["__name__"] = "contributing"
    exec(compile(function, "CONTRIBUTING.md", "exec"), names)
    mine = names["my_loss"]
    assert jloss.entry(mine).options == {"temperature": 1.0}
    logits = np.array([1.0, 2.0], np.float32)
    exec(compile(oracle.replace("@oracle", "#"), "CONTRIBUTING.md", "exec"), {"np": np}, names)
    assert float(mine(logits, 1, temperature=0.5)) == pytest.approx(names["my_loss"](logits, 1, 0.5), rel=1e-5)
    assert "0.31326" in mine.__doc__
    assert float(mine(logits, 1)) == pytest.approx(0.31326166, rel=1e-5)


def test_the_files_of_contributing_exist():
    paths = re.findall(r"`?((?:jloss|tests|docs)/[\w/]+\.(?:py|md))`?", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_readme_commands_parse():
    commands = re.findall(r"^jloss (.*?)(?: +#.*)?$", README.read_text(), re.M)
    assert len(commands) >= 5
    for command in commands:
        parser().parse_args(command.split())


def test_readme_setup_commands_use_existing_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    commands = re.findall(r"^python3 -m venv .*$", README.read_text(), re.M)
    assert len(commands) == 2
    for command in commands:
        (extra,) = re.findall(r"'\.\[(\w+)\]'", command)
        assert extra in extras


def test_links_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text()):
            assert (ROOT / target).exists(), f"{page}: {target}"
