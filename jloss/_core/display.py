"""What docstrings say, for people to look at: formulas, arguments, and the catalogue as a table in notebooks."""

import html
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jloss._core.backend import hints_of

MATH = re.compile(r"^( *)\.\. math::[ ]*(?P<first>[^\n]*)\n(?P<rest>(?:\1[ ]+[^\n]*\n|[ ]*\n)*)", re.M)


def doc(thing: Any) -> str:
    """The docstring of a function, or of an entry's loss."""
    return inspect.getdoc(getattr(thing, "public", thing)) or ""


def formula(thing: Any) -> str:
    """The formula of a docstring as LaTeX; empty if it has none."""
    found = MATH.search(doc(thing) + "\n")
    return latex(found["first"] + "\n" + found["rest"]) if found else ""


def latex(block: str) -> str:
    """A math block in one line, for MathJax: rows become an `aligned`, an underscore in a name is one."""
    text = " ".join(line.strip() for line in block.strip().splitlines() if line.strip())
    text = re.sub(r"\\text\{([^}]*)\}", lambda match: rf"\text{{{match[1].replace(chr(92) + '_', '_')}}}", text)
    outside = re.sub(r"\\begin\{(\w+)\}.*?\\end\{\1\}", "", text)
    return rf"\begin{{aligned}} {text} \end{{aligned}}" if r"\\" in outside else text


def summary(thing: Any) -> str:
    """The first line of a docstring."""
    return doc(thing).partition("\n")[0]


def arguments(thing: Any) -> dict[str, str]:
    """What a docstring says of each argument, in one line each."""
    section = re.search(r"^Args:\n((?: +[^\n]*\n|\n(?= ))*)", doc(thing) + "\n", re.M)
    said: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else []:
        start = re.match(r" {4}(\*{0,2}\w+(?:, \w+)*): (.*)", line)
        names = start[1].split(", ") if start else names
        for name in names:
            said[name] = start[2] if start else f"{said[name]} {line.strip()}"
    return said


def meaning(thing: Any, name: str) -> str:
    """An argument in a few words: its first clause, without code marks."""
    return re.split(r"[.;:(](?:\s|$)|, (?:in|as|from|of) ", arguments(thing).get(name, "") + " ")[0].strip().replace("`", "")


def text(words: str) -> str:
    """A docstring's words as HTML."""
    escaped = html.escape(words, quote=False)
    escaped = re.sub(r":math:`([^`]+)`", r"\\(\1\\)", escaped)
    return re.sub(r"``?([^`]+)``?", r"<code>\1</code>", escaped)


def advice(thing: Any) -> list[str]:
    """The paragraphs between a docstring's formula and its arguments: what the gradient does, and when to use it."""
    found = MATH.search(doc(thing) + "\n")
    behind = (doc(thing) + "\n")[found.end() :] if found else doc(thing).partition("\n")[2]
    behind = re.split(r"^(?:Args|Returns|References|Shapes):$|^>>> ", behind, maxsplit=1, flags=re.M)[0]
    paragraphs = [" ".join(part.split()) for part in MATH.sub("", behind).split("\n\n")]
    return [part for part in paragraphs if part]


class Table(str):
    """HTML that a notebook shows."""

    def _repr_html_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"a table of {self.count('<tr>') - 1} rows"


def details(catalogue: Mapping[str, Any]) -> Table:
    """The losses as an HTML table: formula, and in words when to use each."""
    rows = []
    for entry in catalogue.values():
        words = "".join(f"<p>{text(part)}</p>" for part in [f"{summary(entry)}", *advice(entry)])
        rows.append(f"<tr>{_cell(f'<code><b>{entry.name}</b></code>')}{_cell(_math(entry))}{_cell(words)}</tr>")
    head = "".join(f'<th style="text-align:left">{title}</th>' for title in ("loss", "formula", "when to use it"))
    return Table(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def table(catalogue: Mapping[str, Any]) -> str:
    """The losses as an HTML table, a family after the other, with their formulas."""
    rows, family = [], ""
    for entry in catalogue.values():
        if entry.family != family:
            family = entry.family
            rows.append(f'<tr><th colspan="3" style="text-align:left"><em>{family.replace("_", " ")}</em></th></tr>')
        inputs = ", ".join(f"{n}({', '.join(dims)})" if dims else n for n, dims in entry.inputs.items())
        shown = {n: v for n, v in entry.options.items() if v is not inspect.Parameter.empty}
        options = ", ".join(f"{n}={getattr(v, '__name__', None) or repr(v)}" for n, v in shown.items())
        call = f"<code><b>{entry.name}</b></code><br><small>{html.escape(inputs)}{'<br>' + html.escape(options) if options else ''}</small>"
        rows.append(f"<tr>{_cell(call)}{_cell(_math(entry))}{_cell(text(summary(entry)))}</tr>")
    head = "".join(f'<th style="text-align:left">{title}</th>' for title in ("loss", "formula", "in a line"))
    style = "overflow:auto;max-height:40em"
    return f'<div style="{style}"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _math(entry: Any) -> str:
    return f"$\\displaystyle {html.escape(formula(entry))}$"


def _cell(content: str) -> str:
    return f'<td style="text-align:left;vertical-align:top">{content}</td>'


KEYWORDS = {  # what the keywords of the contract are, for `show` and the pages
    "axis": "The axis of the classes; -1 is the last, 1 that of (N, C, H, W).",
    "spatial_ndim": "How many axes an image has: 2, or 3 for volumes.",
    "where": "Boolean, one per example. What it drops has neither value nor gradient, even if it is NaN.",
    "weights": "One number per example; the mean is sum(w * l) / sum(w).",
    "reduction": '"mean", "sum", "none" (one value per example) or "parts" (total and mass, for exact accumulation).',
    "axis_name": "Inside jax.shard_map: the mesh axis over whose devices the mean is taken.",
}
OF_MASKS = "An axis of classes, each of whose masks is an example of its own; none by default. For (N, H, W, C) say axis=-1."

OF_DATA = "How many axes a datum has: 3 for an image (h, w, c), 2 for a sequence (t, d), 1 for a vector."


def keywords(entry: Any) -> dict[str, str]:
    """What each keyword of the contract means to this loss, in the order of its signature."""
    parameters = inspect.signature(entry.public).parameters
    said = {n: KEYWORDS[n] for n in parameters if n in entry.keywords and n in KEYWORDS}
    if "axis" in said and parameters["axis"].default is None:
        said["axis"] = OF_MASKS
    if "spatial_ndim" in said and parameters["spatial_ndim"].default == 3:
        said["spatial_ndim"] = OF_DATA
    labels = next((n for n, domain in entry.domains.items() if domain == "class" and not entry.inputs[n]), None)
    if labels and "where" in said:
        said["where"] += f" To ignore labels of -100: where={labels} != -100."
    return said


def growth(entry: Any) -> str:
    """With which sizes time and memory grow faster than the inputs do; empty if with none."""
    hints = hints_of(entry.core)
    return "; ".join(
        f"{what} as {' and '.join(words.split())}" for what, words in (("time", hints.time), ("memory", hints.memory)) if words
    )


def signature(entry: Any, width: int = 88) -> str:
    """A call with all its keywords and their defaults, without types; one a line where one line is too short."""
    words = []
    for name, parameter in inspect.signature(entry.public).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        value = parameter.default
        words.append(name if value is parameter.empty else f"{name}={getattr(value, '__name__', None) or repr(value)}")
    return call(entry.name, words, width)


def call(name: str, words: Sequence[str], width: int) -> str:
    """A call in one line, or one word a line where that is too short."""
    whole = f"{name}({', '.join(words)})"
    return whole if len(whole) <= width else f"{name}(\n    " + ",\n    ".join(words) + ",\n)"
