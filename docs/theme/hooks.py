"""What mkdocs cannot find as files: a page for each family, the notebooks as pages, the table of all losses, the navigation."""

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
from links import EXPORTS, REEXPORTS, ROOT, linked

GUIDES = {
    "Home": "index.md",
    "Which loss?": "which.md",
    "Your own loss": "own.md",
    "Why is my gradient NaN?": "nan.md",
    "Losses on many devices": "scale.md",
    "Losses with a state": "states.md",
    "How we test": "testing.md",
    "Coming from PyTorch, Keras, optax": "migration.md",
}
TOOLS = {"jloss.testing": "testing", "jloss.debug": "debug", "jloss.plotting": "plotting", "jloss.samples": "samples"}
NOTEBOOKS = {"gallery": "Gallery", "quickstart": "Quickstart", "imbalance_and_noise": "Rare classes and wrong labels"}


def families() -> list[str]:
    """The public modules, in the order of `jloss.__init__`; a transform is listed once, under transforms."""
    modules = dict.fromkeys(module.removeprefix("jloss.") for module, _ in EXPORTS)
    return [m for m in modules if not m.startswith("_") and "." not in m]


def notebooks() -> dict[str, Path]:
    found = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    return {n: found[n] for n in [*NOTEBOOKS, *found] if n in found}


def on_config(config: Any) -> Any:
    docs = Path(config.docs_dir)
    guides = [{title: page} for title, page in GUIDES.items() if (docs / page).exists()]
    known = {*GUIDES.values()}
    others = [p.relative_to(docs).as_posix() for p in sorted(docs.rglob("*.md"))]
    disagreements = [p for p in others if p.startswith("disagreements")]
    more = [p for p in others if p not in known and p not in disagreements]
    config.nav = [
        *guides,
        *([{"Where libraries disagree": disagreements}] if disagreements else []),
        *more,
        {"Notebooks": [{NOTEBOOKS.get(n, n.replace("_", " ").capitalize()): f"notebooks/{n}.md"} for n in notebooks()]},
        {"Losses": [{f.replace("_", " ").capitalize(): f"api/{f}.md"} for f in families()]},
        {"Tools": [{n.capitalize(): f"api/{n}.md"} for n in TOOLS.values()]},
    ]
    return config


def on_files(files: Any, config: Any) -> Any:
    for family in families():
        title = family.replace("_", " ").capitalize()
        modules = [f"jloss.{family}", *(dict.fromkeys(m for m, _ in REEXPORTS) if family == "transforms" else ())]
        text = f"# {title}\n\nAll of these are in `jloss`, too: `jloss.NAME`. [The keywords of every loss](../index.md#the-contract).\n\n"
        text += "\n".join(f"::: {module}\n" for module in modules)
        files.append(File.generated(config, f"api/{family}.md", content=text))
    for module, name in TOOLS.items():
        files.append(File.generated(config, f"api/{name}.md", content=f"# {module}\n\n::: {module}\n"))
    for name, path in notebooks().items():
        text, pictures = page(json.loads(path.read_text()), name)
        files.append(File.generated(config, f"notebooks/{name}.md", content=text))
        for file, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{file}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri.startswith(("api/", "notebooks/")):
        return markdown
    return linked(markdown)


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
                lines += [f'<div class="notebook" markdown="0"><img src="../{file}" alt="{name}, figure {len(pictures)}"></div>', ""]
            elif "text/html" in data:
                html = _math("".join(data["text/html"]))
                look = "notebook cards" if "when to use it" in html else "notebook"  # long texts: below one another, not beside
                lines += [f'<div class="{look}" markdown="0">{html}</div>', ""]
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
    r"""Formulas in the form that the site's script looks for."""
    html = re.sub(r"\$\\displaystyle (.*?)\$", r'<span class="math">\\(\\displaystyle \1\\)</span>', html, flags=re.S)
    return re.sub(r"\n\s*\n", "\n", html)
