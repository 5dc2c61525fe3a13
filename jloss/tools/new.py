"""Writes what a new loss needs, but for its mathematics: the function, its export line and its oracle; or a module of your own."""

import ast
import bisect
import builtins
import importlib.util
import inspect
import keyword
import re
import typing
from pathlib import Path
from typing import NamedTuple

import jloss
from jloss._core.aliases import find as find_alias
from jloss._core.aliases import name_in
from jloss._core.catalogue import CATALOGUE, Entry
from jloss._core.display import arguments
from jloss._core.exports import exports
from jloss._core.lookup import UsageError, find_entry, nearest
from jloss._core.loss import loss

ROOT = Path(jloss.__file__).parents[1]


class Form(NamedTuple):
    """What goes in: the two strings of the decorator, the inputs and what is said of each, the type of the keywords."""

    signature: str
    domains: str
    inputs: dict[str, str]
    keywords: str


PLAIN = Form("(),()->()", "real real", {"predictions": "Estimates.", "targets": "True values."}, "Reduce")


def run(name: str, *, domain: str | None = None, family: str | None = None, like: str | None = None) -> list[Path]:
    """Writes the files and says what to do next.

    Args:
        name: Of the loss.
        domain: The package of its family; without one it is a loss of your own, in a module of this directory.
        family: The module, which may be new.
        like: A loss that takes the same inputs; the first of the family if left out.
    """
    if (domain is None) != (family is None):
        raise UsageError("a loss of jloss has a --domain and a --family; one of your own has neither.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UsageError(f"a loss is a name of small letters, digits and underscores, as huber or smooth_l1; got `{name}`.")
    if keyword.iskeyword(name) or hasattr(builtins, name):
        raise UsageError(f"`{name}` is a word of Python; it needs another name.")
    if domain is None or family is None:
        written = [write_module(name, Path.cwd(), form_of(find_entry(like)) if like else PLAIN)]
        after = f"python -m jloss check {name}:{name}"
    else:
        written = write(name, domain, family, like, ROOT)
        after = f'pytest tests/catalogue tests/pages -k {name} -m "slow or not slow"'
    print("Wrote " + ", ".join(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path) for path in written))
    print(f"Write the formula{' and the oracle' if domain else ''}, then: {after}")
    return written


def write_module(name: str, folder: Path, form: Form) -> Path:
    """A module with one loss, for `python -m jloss check`."""
    path = folder / f"{name}.py"
    if path.exists():
        raise UsageError(f"{path.name} is there already.")
    if importlib.util.find_spec(name) is not None:
        raise UsageError(f"a module is called `{name}` already, which {path.name} would hide; it needs another name.")
    imports = "from typing import Unpack\n\nfrom jax import Array\n\nimport jloss\n"
    path.write_text(f'"""A loss of my own."""\n\n{imports}\n\n{function(name, form, "jloss.")}')
    return path


def write(name: str, domain: str, family: str, like: str | None, root: Path) -> list[Path]:
    """The function, the export line and the oracle, in a checkout."""
    package, oracles = root / "jloss" / domain, root / "tests" / "oracles" / domain
    if not oracles.parent.is_dir():
        raise UsageError(f"{root} is no checkout of jloss; for a loss of your own leave out --domain and --family.")
    known = sorted({entry.domain for entry in CATALOGUE.values() if (root / "jloss" / entry.domain).is_dir()})
    if domain not in known:  # a folder that is there may be `.`, or hold no losses
        raise UsageError(f"no domain is called `{domain}`{nearest(domain, known)}; domains: {', '.join(known)}.")
    taken = {*exports("jloss"), *(path.stem for path in (root / "jloss").rglob("*.py")), *(p.name for p in (root / "jloss").iterdir())}
    if name in taken:
        raise UsageError(f"`{name}` is taken: no two things in jloss have one name, and no loss is called as a module.")
    if known := find_alias(name):
        raise UsageError(f"`{name}` is what others call `{name_in(known[0])}` (jloss/_core/aliases.py); it needs another name.")
    if family in CATALOGUE or not re.fullmatch(r"[a-z][a-z0-9_]*", family) or keyword.iskeyword(family):
        raise UsageError(f"a family is a module that is not called as a loss; got `{family}`.")
    if name in names_in(package / f"{family}.py") | names_in(oracles / f"{family}.py"):
        raise UsageError(f"`{name}` is the name of something else in the modules of {family}; it needs another name.")
    members = [entry for entry in CATALOGUE.values() if (entry.domain, entry.family) == (domain, family) and entry.kind == "loss"]
    form = form_of(find_entry(like)) if like else form_of(members[0]) if members else PLAIN
    module, oracle = package / f"{family}.py", oracles / f"{family}.py"
    append(module, f'"""{title(family)}: what they have in common."""\n', function(name, form, ""), imports(form))
    add_export(package / "__init__.py", f"jloss.{domain}.{family}", name)
    inputs = ", ".join(form.inputs)
    stub = f'@oracle()\ndef {name}({inputs}):\n    raise NotImplementedError("{name}: write the formula of the paper in NumPy")\n'
    append(oracle, f'"""{title(family)}, from their papers."""\n', stub, {"tests.oracles": ["oracle"]})
    return [module, package / "__init__.py", oracle]


def names_in(module: Path) -> set[str]:
    """What a module imports or defines, which a function of the same name would hide."""
    body = ast.parse(module.read_text()).body if module.exists() else []
    imported = {alias.asname or alias.name for node in body if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    assigned = {n.id for node in body if isinstance(node, ast.Assign | ast.AnnAssign) for n in ast.walk(node) if isinstance(n, ast.Name)}
    return imported | assigned | {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def title(name: str) -> str:
    """A module's name in words."""
    return name.replace("_", " ").capitalize()


def form_of(entry: Entry) -> Form:
    """The inputs that a loss takes, for another one like it."""
    said = arguments(entry)
    needed = entry.required
    dims = ",".join(f"({','.join(entry.inputs[n])})" for n in needed)
    (keywords,) = typing.get_args([*inspect.signature(entry.core).parameters.values()][-1].annotation)
    inputs = {n: said.get(n, "What it is.") for n in needed}
    return Form(f"{dims}->()", " ".join(entry.domains[n] for n in needed), inputs, keywords.__name__)


def function(name: str, form: Form, prefix: str) -> str:
    """The stub of a loss."""
    inputs = ", ".join(f"{n}: Array" for n in form.inputs)
    said = "\n".join(f"        {n}: {words}" for n, words in form.inputs.items())
    arrays = ", ".join("..." for _ in form.inputs)
    return f'''@{prefix}loss("{form.signature}", "{form.domains}")
def {name}({inputs}, **reduce: Unpack[{prefix}{form.keywords}]) -> Array:
    r"""One line by which a person can choose.

    .. math:: \\ell = ...

    What the gradient does at kinks and degenerate points, and when to use another loss.

    Args:
{said}

    >>> {name}({arrays})
    Array(..., dtype=float32)

    References:
        Author, Title, year. https://doi.org/...
    """
    raise NotImplementedError("{name}: write the formula")
'''


def imports(form: Form) -> dict[str, list[str]]:
    """What the stub needs."""
    return {"typing": ["Unpack"], "jax": ["Array"], loss.__module__: ["loss"], jloss.Reduce.__module__: [form.keywords]}


def append(path: Path, docstring: str, text: str, needs: dict[str, list[str]]) -> None:
    """Adds a function to a module behind the last one like it, and the imports that it lacks; begins the module if there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.parent / "__init__.py").exists():
            (path.parent / "__init__.py").write_text("")
        groups = [[line(m, names) for m, names in needs.items() if (m.split(".")[0] in ("jloss", "tests")) == own] for own in (False, True)]
        blocks = [*groups[0], "\n".join(groups[1])]  # the standard library, jax, jloss
        path.write_text("\n".join([docstring, "\n\n".join(block for block in blocks if block), "\n", text]))
        return
    lines = path.read_text().rstrip("\n").split("\n")
    for module, names in needs.items():
        lines = with_import(lines, module, names)
    decorated = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    at = decorated[-1].end_lineno if decorated else len(lines)
    path.write_text("\n".join([*lines[:at], "", "", text.rstrip("\n"), *lines[at:]]) + "\n")


def line(module: str, names: list[str]) -> str:
    """An import, its names in ruff's order: constants, classes, functions."""
    return f"from {module} import {', '.join(sorted({*names}, key=lambda n: (not n.isupper(), not n[0].isupper(), n)))}"


def with_import(lines: list[str], module: str, names: list[str]) -> list[str]:
    """The lines of a module that imports these names."""
    nodes = [node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.Import | ast.ImportFrom)]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    if any({*names} <= {alias.name for alias in node.names} for node in froms if node.module == module):
        return lines
    same = [node for node in froms if node.module == module and node.end_lineno == node.lineno and not any(a.asname for a in node.names)]
    if same:
        at = same[0].lineno - 1
        return [*lines[:at], line(module, [*names, *(alias.name for alias in same[0].names)]), *lines[at + 1 :]]
    later = [
        node.lineno - 1 for node in froms if (node.module or "") > module and (node.module or "").split(".")[0] == module.split(".")[0]
    ]
    at = later[0] if later else (nodes[-1].end_lineno or 0 if nodes else len(lines))
    return [*lines[:at], line(module, names), *lines[at:]]


def add_export(path: Path, module: str, name: str) -> None:
    """Adds an export line where it stands in order."""
    lines = path.read_text().rstrip("\n").split("\n")
    places = [i for i, text in enumerate(lines) if text.startswith("from ")]
    first = places[0] if places else len(lines)
    known = [tuple(text.split()[1::2][:2]) for text in lines[first:]]
    at = first + bisect.bisect(known, (module, name))
    path.write_text("\n".join([*lines[:at], f"from {module} import {name} as {name}", *lines[at:]]) + "\n")
