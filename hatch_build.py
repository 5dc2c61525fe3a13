"""Puts stubs for type checkers into the wheel: jloss/tools/stubs.py makes them from the sources, as they are now."""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Stubs(BuildHookInterface):
    """A wheel has them beside the modules. A folder that is installed to be edited has a package of stubs of its own beside it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        package = Path(self.root, "jloss")
        spec = importlib.util.spec_from_file_location("stubs", package / "tools" / "stubs.py")
        assert spec is not None
        assert spec.loader is not None
        maker = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(maker)
        self.folder = tempfile.TemporaryDirectory()
        maker.write(package, Path(self.folder.name), stale=version == "editable")
        where = ("force_include_editable", "jloss-stubs") if version == "editable" else ("force_include", "jloss")
        build_data[where[0]][self.folder.name] = where[1]

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self.folder.cleanup()
