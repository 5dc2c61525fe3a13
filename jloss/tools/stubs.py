"""What a type checker sees of the losses: stubs (``.pyi``), made from the sources when a wheel is built.

A core takes arrays and floats, since that is what its formula is written for. Its loss takes all that becomes an array, has the keywords of
the contract, and gives a pair under ``reduction="parts"``; no decorator can say so. Here each core's signature is written out as its
loss's. Only the text of the sources is read, so that a build needs neither jax nor jloss.

``python -m jloss.tools.stubs FOLDER`` writes them below a folder, for people to look at.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

CORE = "_core"  # the folder of the contract
IMPORTS = f"""from typing import Literal, NamedTuple, Protocol, overload
from jloss.{CORE}.types import ArrayLike, Parts, Whole
"""
MAKERS = ("loss", "listed_as", "over_batch")


def stubs(package: Path, stale: bool = False) -> dict[str, str]:
    """The stub of each module that has losses, by its path below the package.

    A `stale` stub is one that losses may outlive which it does not list; they are then of any type.
    """
    contract = Contract(ast.parse((package / CORE / "signature.py").read_text()))
    found = {}
    for path in sorted(package.rglob("*.py")):
        below = path.relative_to(package)
        if not any(part.startswith("_") for part in below.parts):
            text = Module(ast.parse(path.read_text()), contract).stub()
            if text:
                late = "\ndef __getattr__(name: str) -> Any: ...\n" if stale else ""
                found[str(below.with_suffix(".pyi"))] = text + ("from typing import Any\n" + late if late else "")
    return found


class Contract:
    """The keywords that stand behind ``**reduce: Unpack[...]``, and their defaults."""

    def __init__(self, tree: ast.Module) -> None:
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        assigned = {named(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
        assigned |= {named(node.target): node.value for node in tree.body if isinstance(node, ast.AnnAssign) and node.value}
        self.defaults, self.defaults_of = (ast.literal_eval(assigned[n]) for n in ("DEFAULTS", "DEFAULTS_OF"))

    def keywords(self, kind: str) -> dict[str, tuple[str, str]]:
        """Each keyword's annotation and default."""
        defaults = self.defaults | self.defaults_of.get(kind, {})
        return {n: (of, repr(defaults[n])) for n, of in self.annotations(kind).items()}

    def annotations(self, kind: str) -> dict[str, str]:
        """The keywords of a class and of those it is made from."""
        node = self.classes[kind]
        own = {n.target.id: ast.unparse(n.annotation) for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
        inherited = [self.annotations(base.id) for base in node.bases if isinstance(base, ast.Name) and base.id in self.classes]
        return {n: of for each in inherited for n, of in each.items()} | own


class Module:
    """A module with losses."""

    def __init__(self, tree: ast.Module, contract: Contract) -> None:
        self.tree, self.contract = tree, contract
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    def stub(self) -> str:
        """The module as a stub; empty where it has no loss."""
        if not any(made_by(function) for function in self.functions.values()):
            return ""
        text = "\n".join(part for node in self.tree.body for part in self.parts(node))
        used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        return IMPORTS + "".join(self.imports(used)) + "\n" + text + "\n"

    def imports(self, used: set[str]) -> Iterator[str]:
        """The imports of the names that are used."""
        for node in self.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                kept = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in used]
                if kept:
                    again = ast.Import(kept) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, kept, node.level)
                    yield ast.unparse(again) + "\n"

    def parts(self, node: ast.stmt) -> Iterator[str]:
        """What a stub has of a statement: functions, classes and names of types."""
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield from self.function(node)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield class_without_bodies(node)
        elif isinstance(node, ast.AnnAssign):
            yield f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
        elif isinstance(node, ast.Assign) and named(node.targets[0]) and names_a_type(node.value):
            yield ast.unparse(node)

    def function(self, node: ast.FunctionDef) -> Iterator[str]:
        returns = ast.unparse(node.returns) if node.returns else "None"
        if returns == "StatefulLoss":
            init, apply = self.state_of(node)
            title = "".join(word.capitalize() for word in node.name.split("_"))
            for part, inner in (("Init", init), ("Apply", apply)):
                yield f"class _{title}{part}(Protocol):"
                yield from (f"    {line}" for line in self.signatures(inner, "__call__", first="self", keeps=inner.args.args[:1]))
            returns = f"StatefulLoss[_{title}Init, _{title}Apply]"
            yield from self.signatures(node, node.name, returns=returns)
        elif made_by(node) or node.args.kwarg:
            yield from self.signatures(node, node.name)
        else:
            yield f"def {node.name}({ast.unparse(without_odd_defaults(node.args))}) -> {returns}: ..."

    def state_of(self, node: ast.FunctionDef) -> tuple[ast.FunctionDef, ast.FunctionDef]:
        """The functions of ``return StatefulLoss(init, apply)``."""
        inner = self.functions | {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
        last = node.body[-1]
        made = last.value if isinstance(last, ast.Return) else None
        if not isinstance(made, ast.Call):
            raise TypeError(f"{node.name} must end with `return StatefulLoss(init, apply)`.")
        init, apply = (inner[named(argument)] for argument in made.args)
        return init, apply

    def signatures(
        self, node: ast.FunctionDef, name: str, first: str = "", keeps: list[ast.arg] | None = None, returns: str = ""
    ) -> Iterator[str]:
        """One signature; two where "parts" gives another type."""
        returns = returns or (ast.unparse(node.returns) if node.returns else "None")
        arguments = without_odd_defaults(node.args)
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            if argument.annotation and argument.arg not in [kept.arg for kept in keeps or []]:
                argument.annotation = given(argument.annotation)
        words = {a.arg: a for a in arguments.kwonlyargs}
        pair = returns.replace("Array", "tuple[Array, Array]", 1)
        reductions = [("Whole", " = 'mean'", returns), ("Parts", "", pair)]
        if arguments.kwarg:
            kind = ast.unparse(arguments.kwarg.annotation or ast.Constant(None)).removeprefix("Unpack[").removesuffix("]")
            keywords = self.contract.keywords(kind)
        elif "reduction" in words:
            keywords = {}
        else:
            yield f"def {name}({', '.join(filter(None, (first, ast.unparse(arguments))))}) -> {returns}: ..."
            return
        arguments.kwarg = None
        own = [text for n, text in shown(arguments) if n != "reduction"]
        star = [] if arguments.kwonlyargs else ["*"]
        for type_, default, result in reductions:
            rest = [
                f"{n}: {ast.unparse(given(ast.parse(of, mode='eval').body))} = {d}" for n, (of, d) in keywords.items() if n != "reduction"
            ]
            text = ", ".join([*filter(None, [first]), *own, *star, *rest, f"reduction: {type_}{default}"])
            yield "@overload"
            yield f"def {name}({text}) -> {result}: ..."


def made_by(node: ast.FunctionDef) -> bool:
    """Whether a decorator makes a loss of it."""
    return any(isinstance(d, ast.Call) and named(d.func) in MAKERS for d in node.decorator_list)


def names_a_type(value: ast.expr) -> bool:
    """Whether it reads like ``Literal["iou", "giou"]`` or ``float | None``."""
    return isinstance(value, ast.Subscript) or (isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr))


def named(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def given(annotation: ast.expr) -> ast.expr:
    """What a caller may give where a core takes this: anything array-like for arrays and numbers."""
    if isinstance(annotation, ast.BinOp):
        sides = [ast.unparse(given(side)) for side in (annotation.left, annotation.right)]
        words = list(dict.fromkeys(word for side in sides for word in side.split(" | "))) if "[" not in "".join(sides) else sides
        return ast.parse(" | ".join(words), mode="eval").body
    wider = {"Array": "ArrayLike", "float": "float | ArrayLike"}.get(named(annotation))
    return ast.parse(wider, mode="eval").body if wider else annotation


def without_odd_defaults(arguments: ast.arguments) -> ast.arguments:
    """A copy whose defaults are numbers and words; what is computed becomes ``...``."""
    again = ast.parse(f"def f({ast.unparse(arguments)}): ...").body[0]
    assert isinstance(again, ast.FunctionDef)
    plain = again.args
    plain.defaults = [literal(d) for d in plain.defaults]
    plain.kw_defaults = [d and literal(d) for d in plain.kw_defaults]
    return plain


def literal(default: ast.expr) -> ast.expr:
    try:
        ast.literal_eval(default)
    except ValueError:
        return ast.Constant(...)
    return default


def shown(arguments: ast.arguments) -> Iterator[tuple[str, str]]:
    """Each parameter's name and text, with the star between inputs and keywords."""
    blank = len(arguments.args) - len(arguments.defaults)
    for i, argument in enumerate(arguments.args):
        default = f" = {ast.unparse(arguments.defaults[i - blank])}" if i >= blank else ""
        yield argument.arg, ast.unparse(argument) + default
    if arguments.kwonlyargs:
        yield "*", "*"
    for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield argument.arg, ast.unparse(argument) + (f" = {ast.unparse(value)}" if value else "")


def class_without_bodies(node: ast.ClassDef) -> str:
    """A class with its fields, and its methods without their bodies."""
    body: list[str] = []
    for each in node.body:
        if isinstance(each, ast.AnnAssign):
            body.append(f"    {ast.unparse(each)}")
        elif isinstance(each, ast.FunctionDef):
            body += [f"    @{ast.unparse(d)}" for d in each.decorator_list]
            body.append(f"    def {each.name}({ast.unparse(each.args)}){f' -> {ast.unparse(each.returns)}' if each.returns else ''}: ...")
    bases = ", ".join(map(ast.unparse, node.bases))
    return "\n".join([f"class {node.name}({bases}):" if bases else f"class {node.name}:", *(body or ["    ..."])])


def write(package: Path, folder: Path, stale: bool = False) -> None:
    """Writes the stubs below a folder; `stale` ones as a package of stubs, which leaves all other modules to their sources."""
    for name, text in stubs(package, stale).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if stale:
        (folder / "py.typed").write_text("partial\n")


if __name__ == "__main__":
    write(Path(__file__).parents[1], Path(sys.argv[1]))
