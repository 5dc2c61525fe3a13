"""The six rules of the house: what imports what, what is called how, and where the unusual may stand."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

import jloss

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jloss"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
CORE, NUMERICS = "_core", "numerics"
DOMAINS = sorted({entry.domain for entry in jloss.CATALOGUE.values()} - {"regularization", "transforms", "testing"})
TOOLS = {"tools", "testing", "plotting", "compat", "__main__"}


def room(module):
    """The part of the package that a module belongs to: ``"vision"``, ``"_core"``."""
    return module.split(".")[1] if "." in module else ""


def imports(path):
    """The modules of jloss that a file imports when it is loaded; those inside functions are late on purpose."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "jloss":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


ARROWS = {module: sorted(set(imports(path))) for module, path in MODULES.items()}


def may_import(room_of, module):
    """The rooms that a module may import from, beside its own."""
    if room_of == CORE:
        return {CORE}
    if room_of == NUMERICS:
        return {CORE, NUMERICS}
    if room_of == "transforms":
        return {CORE, NUMERICS, "transforms"}
    if room_of == "regularization":
        return {CORE, NUMERICS, "regularization"}
    if room_of in DOMAINS:
        return {CORE, NUMERICS, room_of} | ({"classification", "transforms"} if room_of == "language" else set())
    above = {"", CORE, NUMERICS, "transforms", "regularization", *DOMAINS}
    return above | (TOOLS if room_of == "__main__" else {room_of, "testing"} if room_of in TOOLS else set())


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_arrow_goes_up(module):
    """A core below, then numerics, then families, each in its own domain; tools on top."""
    allowed = may_import(room(module), module)
    up = [other for other in ARROWS[module] if room(other) not in allowed]
    assert not up, f"{module} imports {', '.join(up)}; it may import from {sorted(allowed)}"


def test_no_circle():
    below = {}

    def depth(module, path=()):
        assert module not in path, f"a circle: {' -> '.join([*path, module])}"
        if module not in below:
            below[module] = 1 + max((depth(other, (*path, module)) for other in ARROWS[module]), default=0)
        return below[module]

    for module in MODULES:
        depth(module)


def test_a_loss_is_one_object_under_its_three_names():
    for name, entry in jloss.CATALOGUE.items():
        modules = [jloss]
        if entry.domain in DOMAINS:
            modules += [getattr(jloss, entry.domain), getattr(getattr(jloss, entry.domain), entry.family)]
        assert all(getattr(module, name) is entry.public for module in modules), name


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_says_what_it_is_and_lists_its_losses(domain):
    path = PACKAGE / domain / "__init__.py"
    tree = ast.parse(path.read_text())
    text = ast.get_docstring(tree) or ""
    assert "Start with `" in text.replace("\n", " "), f"{domain}: its docstring ends with what to start with"
    for name in re.findall(r"[Ss]tart with `(\w+)`", text.replace("\n", " ")):
        assert hasattr(jloss, name)
    assert all(isinstance(node, ast.ImportFrom) for node in tree.body[1:]), f"{domain}/__init__.py holds code"
    assert all(alias.asname == alias.name for node in tree.body[1:] for alias in node.names)


def test_no_loss_is_called_as_a_module():
    names = {part for module in MODULES for part in module.split(".")[1:]}
    assert not names & jloss.CATALOGUE.keys()


@pytest.mark.parametrize(
    ("word", "rooms"),
    [
        ("custom_jvp", {"jloss._core.backend"}),
        ("custom_vjp", {"jloss._core.chunks"}),
        ("platform_dependent", {"jloss._core.backend", "jloss._core.sorting", "jloss.sequence._recursion"}),
    ],
)
def test_the_unusual_has_one_place(word, rooms):
    found = {module for module, path in MODULES.items() if re.search(rf"\b(jax|lax|def\w*)\.{word}\b", path.read_text())}
    assert found <= rooms, f"{word} stands in {sorted(found - rooms)}"


def test_no_message_and_no_page_names_a_private_module():
    private = re.compile(r"jloss(?:\.\w+)*\._[a-z]\w*")
    wrong = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and private.search(node.value):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {private.search(node.value)[0]}")
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        wrong += [f"{page.relative_to(ROOT)}: {name}" for name in private.findall(page.read_text())]
    assert not wrong, "\n".join(wrong)


def test_files_have_one_topic():
    """At most 500 lines; the table of torch's functions is longer, and so are the laws, one after the other."""
    longer = {"jloss.compat.torch": 750, "jloss.testing.laws": 600}
    for module, path in MODULES.items():
        lines = len(path.read_text().splitlines())
        assert lines <= longer.get(module, 500), f"{module} has {lines} lines: two topics?"


def test_the_top_floor_is_small():
    assert len(list(PACKAGE.glob("*.py"))) <= 4


def test_the_repository_holds_text_alone():
    """No download, archive or picture comes in by accident: what is committed is written by hand, in a known place."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [Path(name) for name in listed.stdout.split("\0") if name]
    top = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "hatch_build.py", "mkdocs.yml", "pyproject.toml", ".gitignore"}
    folders = {".ci", "docs", "findings", "jloss", "notebooks", "tests"}
    astray = [str(path) for path in files if path.parts[0] not in (folders if len(path.parts) > 1 else top)]
    kinds = {".css", ".csv", ".ipynb", ".json", ".md", ".py", ".sh", ".toml", ".typed", ".yml"}
    unknown = [str(path) for path in files if len(path.parts) > 1 and path != Path(".ci/run") and path.suffix not in kinds]
    assert not astray + unknown, f"not part of the project: {astray + unknown}"
