"""README and CONTRIBUTING say what is true: the table of losses, every name, the code.

``python tests/test_docs_pages.py`` writes the table of losses into the README.
"""

import ast
import re
import tomllib
import typing
from pathlib import Path

import jax
import numpy as np
import pytest

import jloss
from jloss import numerics as _math
from jloss.__main__ import markdown, parser
from jloss._core import loss as _loss

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TABLE = re.compile(r"(<!-- losses: [^>]*-->\n)(.*?)(<!-- /losses -->)", re.S)
NAME = re.compile(r"`(\w+)`")


def cells(section):
    """The rows of a markdown table, without its header."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def between(start, end):
    return README.read_text().split(start)[1].split(end)[0]


def test_table_equals_the_catalogue():
    written = TABLE.search(README.read_text())[2].strip()
    assert written == markdown(), "the README's table is old: run `python tests/test_docs_pages.py`"


def test_markdown_has_every_loss_once():
    names = [row[0].strip("`") for row in cells(markdown()) if row[0].startswith("`")]
    assert sorted(names) == sorted(jloss.CATALOGUE)


def test_recommended_losses_exist():
    rows = cells(between("## Which loss for which task", "## Coming from"))
    names = {name for row in rows for name in NAME.findall(row[1])}
    assert names
    assert {n for n in names if not hasattr(jloss, n)} == set()
    assert all(len(row) == 4 and all(row[1:]) for row in rows)


@pytest.mark.parametrize(("column", "module"), [(0, "jloss"), (1, "torch.nn"), (2, "keras.losses"), (3, "optax.losses")])
def test_mapped_names_exist(column, module, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    library = pytest.importorskip(module)
    names = {name for row in cells(between("<!-- names -->", "<!-- /names -->")) for name in NAME.findall(row[column])}
    assert names
    assert {n for n in names if not hasattr(library, n)} == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_code_is_valid(page):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)
    assert blocks
    for block in blocks:
        ast.parse(block)


def test_readme_code_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    exec(compile(block, "README.md", "exec"), {})


def test_the_loss_of_contributing_works():
    """The page's function and its oracle agree, with nothing else to write."""
    function, oracle = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    names = {n: getattr(module, n) for module in (typing, jax, jloss, _math, _loss) for n in dir(module) if not n.startswith("_")}
    names["__name__"] = "contributing"
    exec(compile(function, "CONTRIBUTING.md", "exec"), names)
    mine = names["my_loss"]
    assert jloss.entry(mine).options == {"temperature": 1.0}
    logits = np.array([1.0, 2.0], np.float32)
    exec(compile(oracle.replace("@oracle", "#"), "CONTRIBUTING.md", "exec"), {"np": np}, names)
    assert float(mine(logits, 1, temperature=0.5)) == pytest.approx(names["my_loss"](logits, 1, 0.5), rel=1e-5)
    assert "0.31326" in mine.__doc__
    assert float(mine(logits, 1)) == pytest.approx(0.31326166, rel=1e-5)


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
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text()):
            assert (ROOT / target).exists(), f"{page}: {target}"


if __name__ == "__main__":
    README.write_text(TABLE.sub(lambda match: f"{match[1]}{markdown()}\n{match[3]}", README.read_text()))
    print(f"wrote the table of {len(jloss.CATALOGUE)} losses")
