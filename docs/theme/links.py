"""Names of losses in text become links to their pages."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXPORTS = re.findall(r"^from (jloss\.[a-z_.]+) import (\w+) as \2", (ROOT / "jloss/__init__.py").read_text(), re.M)
REEXPORTS = re.findall(r"^from (jloss\.[a-z]+) import (\w+) as \2", (ROOT / "jloss/transforms.py").read_text(), re.M)
PAGES = {name: f"{module}.{name}" for module, name in [*EXPORTS, *REEXPORTS] if not module.startswith("jloss._")}
CODE = re.compile(r"(^ *```.*?^ *```|\$\$.*?\$\$|\\\(.*?\\\)|^#.*?$|\[[^\]]*\]\([^)]*\))", re.M | re.S)
NAME = re.compile(r"(?<![\[`\w])`(?:jloss\.)?([a-z]\w+)`(?![\]`])")


def linked(text: str) -> str:
    """Every loss in backticks as a reference, outside code, formulas, headings and links."""
    parts = CODE.split(text)
    return "".join(part if i % 2 else NAME.sub(_link, part) for i, part in enumerate(parts))


def _link(match: re.Match[str]) -> str:
    page = PAGES.get(match[1])
    return f"[{match[0]}][{page}]" if page else match[0]
