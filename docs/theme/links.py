"""What the pages are made of: the domains with their families, where each public name is explained, what peers call a loss."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jloss

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"(^ *```.*?^ *```|\$\$.*?\$\$|\\\(.*?\\\)|^#.*?$|\[[^\]]*\]\([^)]*\))", re.M | re.S)
NAME = re.compile(r"(?<![\[`\w])`(?:jloss\.)?([a-z]\w+)`(?![\]`])")
LIBRARIES = {"PyTorch": "torch.nn", "Keras": "keras.losses", "optax": "optax.losses"}


def exported(module: ModuleType) -> list[str]:
    """The names that a package is there for, in their order; not its modules."""
    names = [n for n in getattr(module, "__all__", None) or dir(module) if not n.startswith("_")]
    return [n for n in names if not isinstance(getattr(module, n), ModuleType)]


def is_private(module: str) -> bool:
    """Whether a part of the path begins with an underscore."""
    return any(part.startswith("_") for part in module.split("."))


def domains() -> dict[str, dict[str, ModuleType]]:
    """The families of each domain, and the transforms: ``{"vision": {"boxes": <module>}}``."""
    found = {}
    for domain in [*dict.fromkeys(entry.domain for entry in jloss.CATALOGUE.values()), "transforms"]:
        package = importlib.import_module(f"jloss.{domain}")
        names = sorted(m.name for m in pkgutil.iter_modules(getattr(package, "__path__", [])) if not is_private(m.name))
        found[domain] = {n: importlib.import_module(f"jloss.{domain}.{n}") for n in names} or {domain: package}
    return found


def homes() -> dict[str, str]:
    """The path under which the site explains each public name: ``{"giou": "jloss.vision.boxes.giou"}``."""
    packages = [f"jloss.{domain}" for domain, families in domains().items() if domain not in families]
    found = {}
    for name in exported(jloss):
        home = home_of(getattr(jloss, name))
        shown_by = (p for p in packages if name in exported(importlib.import_module(p)))
        found[name] = f"{next(shown_by, 'jloss') if is_private(home) else home}.{name}"
    return found


def home_of(thing: Any) -> str:
    """The module that defines it; that of its type, if it is an instance of a class of jloss."""
    home = getattr(inspect.unwrap(thing) if callable(thing) else type(thing), "__module__", "")
    return home if home.startswith("jloss.") else "_"


def peers() -> dict[str, list[str]]:
    """What other libraries call each loss, from the tables of docs/migration.md: ``{"huber": ["torch.nn.HuberLoss"]}``."""
    found: dict[str, list[str]] = {}
    for library, module in LIBRARIES.items():
        section = (ROOT / "docs/migration.md").read_text().partition(f"\n## {library}\n")[2].partition("\n## ")[0]
        for names, _, ours in re.findall(r"^\| ([\w, ]+) \| (`.*?`)? ?\| `(.*?)` \|", section, re.M):
            name = re.search(r"jloss\.(\w+)", ours)
            if name and name[1] != "linear_head":
                found.setdefault(name[1], []).append(f"{module}.{names.partition(',')[0]}")
    return {name: list(dict.fromkeys(others)) for name, others in found.items()}


HOMES = homes()


def linked(text: str) -> str:
    """Every public name in backticks as a reference, outside code, formulas, headings and links."""
    parts = CODE.split(text)
    return "".join(part if i % 2 else NAME.sub(_link, part) for i, part in enumerate(parts))


def _link(match: re.Match[str]) -> str:
    page = HOMES.get(match[1])
    return f"[{match[0]}][{page}]" if page else match[0]
