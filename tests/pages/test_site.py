"""The pages of the site: their code runs, what they name exists, all that is public has a place, docstrings become Markdown."""

import ast
import functools
import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jloss
from jloss._core.display import formula, keywords, signature
from jloss._core.domains import DOMAINS
from jloss.testing import FUNCTION_LAWS, LAWS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ALL = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
PAGES = ["index.md", "which.md", "nan.md", "own.md", "pictures.md", "states.md", "testing.md"]
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(DOCS / page for page in ALL), *sorted((ROOT / "notebooks").glob("*.ipynb"))]
CODE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
OTHER = """where weights reduction axis_name axis spatial_ndim float jit x log arctan2 arccos p softmax logits label_smoothing
    positive_weight free_bits selector_q infeasible shard_map vmap diagnose checked stop_gradient
    abs jloss jax jax_debug_nans mask mse pick safe_divide bool int str init apply get_value set_value"""  # in backticks, and no loss


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.md", "nan.md", "own.md", "pictures.md", "states.md"])
def test_code_runs(name, tmp_path, capsys):
    """From top to bottom, as a reader would type it; `diagnose` prints what the page says."""
    if name == "pictures.md":
        pytest.importorskip("matplotlib").use("agg")
    names = {"__name__": "page"}
    with_file = "\n\n".join(CODE.findall((DOCS / name).read_text()))
    (tmp_path / "page.py").write_text(with_file)  # so that messages can name its lines
    exec(compile(with_file, str(tmp_path / "page.py"), "exec"), names)
    if name == "pictures.md":
        names["plt"].close("all")
    printed = re.search(r"^```text\n(cross_entropy: .*?)^```", (DOCS / name).read_text(), re.M | re.S)
    if printed:
        assert printed[1] in capsys.readouterr().out


@pytest.mark.parametrize("name", PAGES)
def test_named_losses_exist(name):
    """Every word in backticks that looks like a loss is one, or is known for something else."""
    other = set(re.findall(r"\w+", OTHER)) | DOMAINS.keys() | LAWS.keys()
    text = re.sub(r"^```.*?^```", "", (DOCS / name).read_text(), flags=re.M | re.S)
    words = {w for w in re.findall(r"`(?:jloss\.)?([a-z]\w+)`", text)} - other
    assert {w for w in words if not hasattr(jloss, w)} == set()


@pytest.mark.parametrize("name", ALL)
def test_links_lead_to_pages(name):
    """To a page of this folder, to one that is made of a notebook, or to one that is made of docstrings."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", (DOCS / name).read_text()):
        notebook, made = re.fullmatch(r"(?:\.\./)*notebooks/(\w+)\.md", target), re.match(r"(?:\.\./)*(?:losses|tools)/", target)
        path = ROOT / "notebooks" / f"{notebook[1]}.ipynb" if notebook else (DOCS / name).parent / target
        assert made or path.exists(), target  # what is made: `mkdocs build --strict` looks


def test_words_of_inputs_are_the_domains():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", (DOCS / "own.md").read_text(), re.M)
    assert dict(rows) == {name: domain.meaning for name, domain in DOMAINS.items()}, "the table in docs/own.md"


# ---------------------------------------------------------------- modules and names


def strings(path):
    """The docstrings and messages of a file of Python, the text of a page."""
    if path.suffix == ".md":
        return [path.read_text()]
    if path.suffix == ".ipynb":
        return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


SOURCES = sorted((ROOT / "jloss").rglob("*.py"))


def is_module(path):
    """Whether this is the path of a module, and not of a thing in one."""
    try:
        return importlib.util.find_spec(path) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def is_there(path):
    """Whether a dotted name is a module, or a thing in one; a module that another one happens to hold is not there."""
    package, _, name = path.rpartition(".")
    if not package or is_module(path) or not is_there(package):
        return not package or is_module(path)
    try:
        holder = importlib.import_module(package) if is_module(package) else functools.reduce(getattr, package.split(".")[1:], jloss)
    except ModuleNotFoundError:
        return True  # it needs a library that is not installed
    return hasattr(holder, name) and not isinstance(getattr(holder, name), ModuleType)


@pytest.mark.slow
def test_every_dotted_name_is_there():
    """Pages and docstrings name modules where they are."""
    texts = [(path.relative_to(ROOT).as_posix(), text) for path in [*WRITTEN, *SOURCES] for text in strings(path)]
    found = {(page, name) for page, text in texts for name in re.findall(r"\bjloss(?:\.[A-Za-z]\w*)+", text)}
    names = {name for _, name in found if name not in ("jloss.NAME", "jloss.py", "jloss.mse")}  # the last is missing on purpose
    assert len(names) > 100
    lost = {name for name in names if not is_there(name)}
    assert {(page, name) for page, name in found if name in lost} == set()


@pytest.fixture
def theme(monkeypatch):
    pytest.importorskip("griffe")
    monkeypatch.syspath_prepend(str(DOCS / "theme"))
    yield lambda name: importlib.import_module(name)
    for module in ("docstrings", "formulas", "hooks", "links"):
        sys.modules.pop(module, None)


def test_docstrings_become_markdown(theme):
    markdown = theme("docstrings").markdown
    text = markdown(jloss.huber.__doc__)
    assert "$$\n\\ell = \\begin{cases}" in text
    assert "[`log_cosh`][jloss.regression.errors.log_cosh]" in text
    assert re.search(r"```pycon\n>>> huber\(.*\nArray\(.*\n```", text)
    assert re.search(r"References:\n    - Huber, .* https://\S+\n", text)
    assert ".. math::" not in text
    assert markdown("With :math:`x^2` of `huber`.") == "With \\(x^2\\) of [`huber`][jloss.regression.errors.huber].\n"


@pytest.fixture
def site(theme, monkeypatch):
    """The text of all pages, without the pictures; of what a page shows by its docstring, the name."""
    pytest.importorskip("mkdocs")
    monkeypatch.setenv("XLA_FLAGS", "")  # which it sets
    hooks = theme("hooks")
    drawn = []
    monkeypatch.setattr(hooks, "drawn", drawn.append)
    pages = {page: (DOCS / page).read_text() for page in ALL} | {n: text for n, text in hooks.generated().items() if n.endswith(".md")}
    for name, text in pages.items():
        for path in re.findall(r"^::: (\S+)$", text, re.M):
            if not path.startswith("jloss.compat"):  # needs other libraries
                module = importlib.import_module(path) if is_module(path) else None
                own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", "") == path] if module else []
                pages[name] += " ".join(["", path.rpartition(".")[2], *own])
    families = [family for families in theme("links").domains().values() for family in families]
    assert {*drawn} == {*families} - {"regularization"}
    return pages


def test_every_public_name_is_on_a_page(site, theme):
    words = set(re.findall(r"\w+", " ".join(site.values())))
    for package in ("jloss", "jloss.numerics", "jloss.testing", "jloss.plotting"):
        names = theme("links").exported(importlib.import_module(package))
        assert names
        assert {name for name in names if name not in words} == set(), package


def test_every_loss_is_on_the_pages_of_all_and_of_its_family(site):
    for name, entry in jloss.CATALOGUE.items():
        assert re.search(rf"^\| \[`{name}`\]\[", site["losses/index.md"], re.M), name
        of_one_module = f"losses/{entry.domain}/index.md"
        page = site.get(f"losses/{entry.domain}/{entry.family}.md", site[of_one_module])
        assert re.search(rf"\b{name}\b", page), name
        assert f"<b>{name}</b>" in site[of_one_module] or entry.domain == entry.family, name


def test_all_losses_say_what_others_call_them(site):
    rows = {match[1]: match[0] for match in re.finditer(r"^\| \[`(\w+)`\].*$", site["losses/index.md"], re.M)}
    assert "`torch.nn.HuberLoss`, `keras.losses.Huber`, `optax.losses.huber_loss`" in rows["huber"]
    assert rows["giou"].endswith("| `generalized_iou`, `generalized_box_iou`, `generalized_intersection_over_union` |")
    assert rows["log_cosh"].endswith("| `keras.losses.LogCosh`, `optax.losses.log_cosh` |")
    assert rows["alpha_iou"].endswith("|  |")
    assert sum(not row.endswith("|  |") for row in rows.values()) > 40


def test_a_loss_page_has_the_whole_call_its_keywords_and_its_other_names(theme):
    """As `jloss show` prints them; griffe reads the source, so that nothing need be installed."""
    griffe, docstrings = pytest.importorskip("griffe"), theme("docstrings")
    package = griffe.load("jloss", search_paths=[ROOT], extensions=griffe.load_extensions(docstrings.Markdown()))
    for name, entry in jloss.CATALOGUE.items():
        text = package[f"{entry.core.__module__.removeprefix('jloss.')}.{name}"].docstring.value
        assert text.startswith(f"```python\n{signature(entry, docstrings.WIDTH)}\n```\n"), name
        for keyword, said in keywords(entry).items():
            assert f"    - `{keyword}`: {said}" in text, name
    huber = package["regression.errors.huber"]
    assert str(huber.parameters["targets"].annotation) == "Array[...], any real number"
    assert "\nElsewhere: *torch.nn.HuberLoss*, *keras.losses.Huber*, *optax.losses.huber\\_loss*.\n" in huber.docstring.value
    squared = package["regression.errors.squared_error"].docstring.value
    assert re.search(r"\nElsewhere: .*\*mse\*.*\*l2\\_loss\*.*\.\n", squared)
    compat = package["compat.torch.huber_loss"].docstring.value
    assert compat.startswith(
        "```python\nhuber_loss(\n    input,\n    target,\n    reduction='mean',\n    delta=1.0,\n    weight=None,\n)\n```\n"
    )


def test_a_table_with_rules_becomes_one_with_bars(theme):
    rule = "=====  =======\n"
    text = f"Before.\n\n{rule}case   there\n{rule}one    first\n       goes on\n`x|y`  2\n{rule}\nAfter.\n"
    table = "| case | there |\n|---|---|\n| one | first goes on |\n| `x|y` | 2 |\n"
    assert theme("docstrings").markdown(text).split() == f"Before.\n\n{table}\nAfter.\n".split()


@pytest.fixture
def formulas(theme):
    for package in ("math_core", "ziamath"):
        pytest.importorskip(package)
    return theme("formulas")


def test_every_formula_becomes_mathml(formulas):
    """A formula that cannot be converted stops the build; so do brackets of one size without a partner."""
    for name, entry in jloss.CATALOGUE.items():
        found = formulas.mathml(formula(entry), True)
        assert found.startswith('<div class="formula"><math data-search-exclude'), name
        assert not re.search(r"\\[a-zA-Z]|merror", found), name
    inline = formulas.with_mathml(r'<p>With <span class="arithmatex">\(a_i &lt; b\)</span>.</p>')
    assert re.fullmatch(r"<p>With <math [^>]*>.*<msub><mi>a</mi><mi>i</mi></msub><mo[^>]*>&lt;</mo><mi>b</mi>.*</math>\.</p>", inline)
    with pytest.raises(Exception, match="nosuch"):
        formulas.mathml(r"\nosuch{x}")


def test_the_font_has_what_the_formulas_use(formulas, tmp_path):
    from fontTools.ttLib import TTFont

    formulas.mathml(r"\sum_i \hat x_i \not\sim \mathcal{N}")
    formulas.write_font(tmp_path / "theme" / "math.woff")
    font = TTFont(tmp_path / "theme" / "math.woff")
    assert {0x2211, 0x1D465, 0x1D4A9, 0x221A, ord("x")} <= font.getBestCmap().keys()
    assert "MATH" in font, "without it brackets do not grow"
    assert (tmp_path / "theme" / "math.woff").stat().st_size < 200_000


def test_the_site_needs_no_other_host():
    """All that a page loads comes with it; links may lead away."""
    for path in [ROOT / "mkdocs.yml", *(DOCS / "theme").glob("*.*")]:
        assert not re.search(r"https?://\w|cdn|googleapis", path.read_text()), path.name


def test_the_laws_are_listed(site):
    assert [law for law in [*LAWS, *FUNCTION_LAWS] if f"- `{law}`: " not in site["tools/testing.md"]] == []
