"""What mkdocs cannot find as files: the pages of domains and families, the table of all losses, pictures, notebooks, the navigation.

All of it follows from `jloss.CATALOGUE` and the docstrings, so that a new loss has its page, its row and its picture by itself.
"""

import base64
import functools
import importlib
import inspect
import io
import json
import os
import re
import sys
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"  # each curve is run once
os.environ.setdefault("MPLBACKEND", "agg")

from mkdocs.structure.files import File

import jloss
from jloss.__main__ import families as by_family
from jloss.__main__ import parser, summary
from jloss._core.aliases import names_elsewhere

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import markdown
from formulas import mathml, with_mathml, write_font
from links import HOMES, ROOT, domains, exported, home_of, linked, peers

GUIDES = {
    "Home": "index.md",
    "Which loss?": "which.md",
    "Recipes": "recipes.md",
    "Through other compilers": "exporters.md",
    "Your own loss": "own.md",
    "Why is my gradient NaN?": "nan.md",
    "Losses on many devices": "scale.md",
    "Losses with a state": "states.md",
    "Sequences": "sequences.md",
    "Preferences and policies": "alignment.md",
    "Pictures": "pictures.md",
    "How we test": "testing.md",
    "Benchmarks": "benchmarks.md",
    "Coming from PyTorch, Keras, optax": "migration.md",
}
TOOLS = ("numerics", "testing", "plotting", "compat.torch", "compat.keras")
NOTEBOOKS = {"quickstart": "Quickstart", "imbalance_and_noise": "Rare classes and wrong labels"}  # the first two, and their titles


def title(name: str) -> str:
    """The name of a module as a heading."""
    return name.replace("_", " ").capitalize().replace("Gan", "GAN")


def notebooks() -> dict[str, Path]:
    """The notebooks by name: the known ones first."""
    found = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    return {n: found[n] for n in [*NOTEBOOKS, *found] if n in found}


def on_config(config: Any) -> Any:
    """The navigation: the guides, then what is made here."""
    docs = Path(config.docs_dir)
    others = [p.relative_to(docs).as_posix() for p in sorted(docs.rglob("*.md"))]
    disagreements = [p for p in others if p.startswith("disagreements")]
    losses = [{title(domain): pages_of(domain)} for domain in domains()]
    config.nav = [
        *({heading: page} for heading, page in GUIDES.items()),
        {"Where libraries disagree": disagreements},
        *(p for p in others if p not in GUIDES.values() and p not in disagreements),
        {"Notebooks": [{NOTEBOOKS.get(n, title(n)): f"notebooks/{n}.md"} for n in notebooks()]},
        {"Losses": ["losses/index.md", *losses]},
        {"Tools": ["tools/contract.md", *(f"tools/{name}.md" for name in TOOLS), "tools/commands.md"]},
    ]
    return config


def pages_of(domain: str) -> list[str]:
    """The page of a domain and those of its families; a domain that is one module has one page."""
    families = domains()[domain]
    return [f"losses/{domain}/index.md", *(f"losses/{domain}/{family}.md" for family in families if family != domain)]


@functools.cache
def generated() -> dict[str, str | bytes]:
    """All files made here, by path; once, also when `mkdocs serve` builds again."""
    files: dict[str, str | bytes] = {"losses/index.md": all_losses(), "tools/contract.md": contract(), "tools/commands.md": commands()}
    for domain, families in domains().items():
        files |= {f"losses/{domain}/{family}.md": family_page(module, family) for family, module in families.items() if family != domain}
        files |= {f"losses/{domain}/{family}.png": picture for family in families if family != domain and (picture := drawn(family))}
        files[f"losses/{domain}/index.md"] = domain_page(
            domain, [family for family in families if f"losses/{domain}/{family}.png" in files]
        )
    for name in TOOLS:
        files[f"tools/{name}.md"] = tool_page(f"jloss.{name}")
    for name, path in notebooks().items():
        text, pictures = page(json.loads(path.read_text()), name)
        files[f"notebooks/{name}.md"] = text
        files |= {f"notebooks/{file}": content for file, content in pictures.items()}
    return files


def on_files(files: Any, config: Any) -> Any:
    """Adds what is made here to the files of the folder."""
    for path, content in generated().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Names become links, and the page of pictures gets them."""
    path = page.file.src_uri
    page.meta |= {"search": SEARCH.get(path, {})}
    if path == "pictures.md":
        markdown = with_pictures(markdown)
    return markdown if path.startswith(("losses/", "tools/", "notebooks/")) else linked(markdown)


CALL = re.compile(r'(<div class="doc doc-contents ">\s*<div )(class="highlight">)')
SEARCH = {"recipes.md": {"boost": 5}, "losses/index.md": {"exclude": True}}  # questions lead to recipes, names to the page of the loss
STACKED = ("migration.md", "which.md", "losses/index.md")  # on a phone the cells of a row stand one below the other


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Formulas are made here, what is looked up is folded, and wide tables know it."""
    html = with_mathml(html)
    html = CALL.sub(r"\1data-search-exclude \2", html)  # the search finds what is said of a call
    html = re.sub(r'(<details class="(?:references|keywords)") open>', r"\1>", html)
    if page.file.src_uri not in STACKED:
        return html
    html = re.sub(r"<code>[^<]*</code>", lambda match: re.sub(r"(?<=[(_])|(?<=\w)(?=\.[a-z])|(?<=\))(?=\()", "<wbr>", match[0]), html)
    return f'<div class="stacked {Path(page.file.src_uri).stem}">{html}</div>'


def on_post_build(config: Any) -> None:
    """The font of the formulas, with what they use."""
    write_font(Path(config.site_dir) / "theme" / "math.woff")


# ---------------------------------------------------------------- losses


def all_losses() -> str:
    """The whole catalogue as tables, a domain after the other, with the names that other libraries have for a loss, or papers."""
    lines = ["# All losses\n", "`python -m jloss list` prints this table, `python -m jloss show NAME` one loss.\n"]
    names, papers = peers(), names_elsewhere()
    for domain in domains():
        entries = [e for e in jloss.CATALOGUE.values() if e.domain == domain]
        lines += [f"## [{title(domain)}]({domain}/index.md)\n", "| loss | in a line | elsewhere |", "|---|---|---|"] if entries else []
        for family, members in by_family(entries).items():
            lines.append(f"| **{title(family)}** | | |")
            for entry in members:
                elsewhere = ", ".join(f"`{n}`" for n in names.get(entry.name) or papers.get(entry.name, [])[:3])
                said = summary(entry).replace("|", r"\|")
                lines.append(linked(f"| `{entry.name}` | {said} |") + f" {elsewhere} |")
        lines.append("")
    return "\n".join(lines)


def domain_page(domain: str, with_picture: list[str]) -> str:
    """A domain: what it is for, and of each family the curves and a table of formulas; a domain that is one module is its family."""
    package, families = importlib.import_module(f"jloss.{domain}"), domains()[domain]
    if domain in families:
        return family_page(package, domain)
    lines = [f"# {title(domain)}\n", markdown(inspect.getdoc(package) or ""), ""]
    for family, module in families.items():
        lines += [f"## [{title(family)}]({family}.md)\n", first_paragraph(module), ""]
        lines += [shown(f"{family}.png", family), ""] if family in with_picture else []
        lines += [cards(family), ""] if is_family(family) else []
    return "\n".join([*lines, *(explained(home, getattr(jloss, name)) for name, home in HOMES.items() if home == f"jloss.{domain}.{name}")])


def family_page(module: ModuleType, family: str) -> str:
    """A family: every public function of its module, by its docstring."""
    text = "All of these are in `jloss`, too: `jloss.NAME`. [The keywords of every loss](../../index.md#the-contract)."
    picture = f"{shown(f'../{family}.png', f'the curves of {title(family)}')}\n\n" if family not in domains() and drawn(family) else ""
    return f"# {title(family)}\n\n{text}\n\n{picture}::: {module.__name__}\n"


def is_family(name: str) -> bool:
    """Whether losses are in it, and not only transforms."""
    return any(entry.family == name for entry in jloss.CATALOGUE.values())


def first_paragraph(module: ModuleType) -> str:
    """What a module says of itself first, with links."""
    return markdown((inspect.getdoc(module) or "").partition("\n\n")[0])


def cards(family: str) -> str:
    """The losses of a family: formula, and in words when to use each."""
    from jloss.plotting import describe

    return f'<div class="notebook cards" data-search-exclude markdown="0">{_math(describe(family)._repr_html_())}</div>'


@functools.cache
def drawn(family: str) -> bytes | None:
    """The curves of a family as PNG, if there are any."""
    from matplotlib import pyplot

    from jloss.plotting import gallery

    axes = gallery(family) if is_family(family) else []
    picture = png(axes[0].figure) if len(axes) else None
    pyplot.close("all")
    return picture


def png(figure: Any) -> bytes:
    """A figure as the bytes of a file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80, bbox_inches="tight")
    return file.getvalue()


def shown(source: str, alternative: str) -> str:
    """A picture that scrolls by itself on a narrow screen."""
    return f'<div class="notebook" markdown="0"><img src="{source}" alt="{alternative}"></div>'


CODE = re.compile(r"^```python\n(.*?)^```\n", re.M | re.S)


def with_pictures(text: str) -> str:
    """A page whose code is run from top to bottom, each block with the figures that it opens."""
    from matplotlib import pyplot

    names: dict[str, Any] = {"__name__": "pictures"}

    def run(match: re.Match[str]) -> str:
        exec(match[1], names)
        pictures = [base64.b64encode(png(pyplot.figure(number))).decode() for number in pyplot.get_fignums()]
        pyplot.close("all")
        return match[0] + "".join(f"\n{shown(f'data:image/png;base64,{picture}', 'what the code draws')}\n" for picture in pictures)

    return CODE.sub(run, text)


# ---------------------------------------------------------------- tools


def contract() -> str:
    """What `jloss` has beside losses: the decorator, the catalogue, the keywords."""
    names = [name for name, home in HOMES.items() if home == f"jloss.{name}"]
    text = "# The contract in code\n\nWhat `jloss` has beside its losses: [to write one](../own.md), and to look at all of them.\n\n"
    return text + "\n".join(explained(HOMES[name], getattr(jloss, name)) for name in names)


def tool_page(path: str) -> str:
    """The names that a package is there for; a module that needs other libraries is read by griffe, not imported."""
    if path.startswith("jloss.compat"):
        return f"# {path}\n\n::: {path}\n"
    package = importlib.import_module(path)
    parts = [explained(f"{path}.{name}", getattr(package, name)) for name in exported(package)]
    return "\n".join([f"# {path}\n", markdown(inspect.getdoc(package) or ""), "", *parts])


def explained(path: str, thing: Any) -> str:
    """One name with its docstring, under the path that users write; of a constant, what it holds."""
    heading = f"## `{path.rpartition('.')[2]}` {{: #{path} }}\n"
    home = inspect.unwrap(thing).__module__ if callable(thing) else ""
    if home.startswith("jloss."):
        return f"{heading}\n::: {home}.{thing.__name__}\n    options:\n      heading_level: 3\n      show_bases: false\n"
    if isinstance(thing, dict) and all(callable(value) for value in thing.values()):
        return heading + "\n" + "".join(f"- `{n}`: {(inspect.getdoc(f) or '').partition(chr(10))[0]}\n" for n, f in thing.items())
    if isinstance(thing, dict) and home_of(thing) == "_":
        return heading + "\n" + "".join(f"- `{n}`: {value}\n" for n, value in thing.items())
    return f"{heading}\n{markdown(inspect.getdoc(type(thing)) or '')}\n"


def commands() -> str:
    """The command line, by its own help."""
    (subcommands,) = (a.choices for a in parser()._actions if isinstance(a.choices, dict))
    lines = ["# Commands\n", "`python -m jloss COMMAND`, or `jloss COMMAND`.\n"]
    for name, command in subcommands.items():
        module = ROOT / f"jloss/tools/{name}.py"
        more = [first_paragraph(importlib.import_module(f"jloss.tools.{name}")), ""] if module.exists() else []
        lines += [f"## {name}\n", *more, "```text", command.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


# ---------------------------------------------------------------- notebooks


def page(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures as files."""
    lines: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines += [linked(LOCAL.sub(_other, source)), ""]
            continue
        if cell["cell_type"] != "code":
            continue
        lines += ["```python", source, "```", ""]
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                file = f"{name}-{len(pictures)}.png"
                pictures[file] = base64.b64decode("".join(data["image/png"]))
                lines += [shown(f"../{file}", f"{name}, figure {len(pictures)}"), ""]
            elif "text/html" in data:
                lines += [f'<div class="notebook" markdown="0">{_math("".join(data["text/html"]))}</div>', ""]
            else:
                text = "".join(output.get("text", data.get("text/plain", "")))
                lines += ["```text", text.rstrip(), "```", ""] if text.strip() else []
    if not lines or not lines[0].startswith("# "):
        lines.insert(0, f"# {name}\n")
    return "\n".join(lines), pictures


LOCAL = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)]+)\)")


def _other(match: re.Match[str]) -> str:
    """A link to another notebook leads to its page; to another file, nowhere."""
    return f"[{match[1]}]({match[2][:-6]}.md)" if match[2].endswith(".ipynb") else match[1]


def _math(html: str) -> str:
    """The formulas of a table as MathML."""
    html = re.sub(r"\$\\displaystyle (.*?)\$", lambda match: mathml(unescape(match[1]), True), html, flags=re.S)
    html = re.sub(r"\\\((.*?)\\\)", lambda match: mathml(unescape(match[1])), html, flags=re.S)
    return re.sub(r"\n\s*\n", "\n", html)
