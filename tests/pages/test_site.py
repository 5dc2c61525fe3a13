"""The pages of the site: their code runs, every loss they name exists, and docstrings become Markdown as they should."""

import re
import sys
from pathlib import Path

import pytest

import jloss

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["index.md", "which.md", "nan.md", "own.md", "states.md", "testing.md"]
CODE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
OTHER = """where weights reduction axis_name axis float jit x log arctan2 arccos p softmax logits label_smoothing positive_weight
    infeasible shard_map vmap diagnose checked stop_gradient jloss jax real unit positive sign class prob log_prob box
    mask int bool str init apply get_value set_value"""  # in backticks, and no loss


@pytest.mark.parametrize("name", ["index.md", "nan.md", "own.md", "states.md"])
def test_code_runs(name, tmp_path, capsys):
    """From top to bottom, as a reader would type it; `diagnose` prints what the page says."""
    names = {"__name__": "page"}
    with_file = "\n\n".join(CODE.findall((DOCS / name).read_text()))
    (tmp_path / "page.py").write_text(with_file)  # so that messages can name its lines
    exec(compile(with_file, str(tmp_path / "page.py"), "exec"), names)
    printed = re.search(r"^```text\n(cross_entropy: .*?)^```", (DOCS / name).read_text(), re.M | re.S)
    if printed:
        assert printed[1] in capsys.readouterr().out


@pytest.mark.parametrize("name", PAGES)
def test_named_losses_exist(name):
    """Every word in backticks that looks like a loss is one, or is known for something else."""
    other = set(re.findall(r"\w+", OTHER))
    text = re.sub(r"^```.*?^```", "", (DOCS / name).read_text(), flags=re.M | re.S)
    words = {w for w in re.findall(r"`(?:jloss\.)?([a-z]\w+)`", text)} - other
    assert {w for w in words if not hasattr(jloss, w)} == set()


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_pages(name):
    """To a page of this folder, or to one that is made of a notebook."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (DOCS / name).read_text()):
        made = re.fullmatch(r"notebooks/(\w+)\.md", target)
        path = DOCS.parent / "notebooks" / f"{made[1]}.ipynb" if made else DOCS / target
        assert path.exists(), target


@pytest.fixture
def theme(monkeypatch):
    pytest.importorskip("griffe")
    monkeypatch.syspath_prepend(str(DOCS / "theme"))
    import docstrings

    yield docstrings
    for module in ("docstrings", "links"):
        sys.modules.pop(module, None)


def test_docstrings_become_markdown(theme):
    text = theme.markdown(jloss.huber.__doc__)
    assert "$$\n\\ell = \\begin{cases}" in text
    assert "[`log_cosh`][jloss.regression.log_cosh]" in text
    assert re.search(r"```pycon\n>>> huber\(.*\nArray\(.*\n```", text)
    assert re.search(r"References:\n    - Huber, .* https://\S+\n", text)
    assert ".. math::" not in text
    assert theme.markdown("With :math:`x^2` of `huber`.") == "With \\(x^2\\) of [`huber`][jloss.regression.huber].\n"
