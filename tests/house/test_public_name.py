"""`__all__` tells the truth, the SDK's import is cheap, and the SDK needs nothing but the standard library."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.house.checkout import SOURCE, kept_files, shown

IMPORT_BUDGET = 75

# What these modules wrap, or write to, is a library that the app which uses them has; imported on use alone.
WRAPPED = {
    "adapters/langchain.py": {"langchain_core"},
    "adapters/llamaindex.py": {"llama_index"},
    "adapters/pgvector.py": {"psycopg"},
    "adapters/qdrant.py": {"qdrant_client"},
    "wrap/langchain.py": {"langchain_core"},
    "wrap/llamaindex.py": {"llama_index", "llama_index_instrumentation"},
}

# Runs in a process of its own, so that what the modules warn of or start does not touch the tests.
ASK_MODULES = """
import importlib, json, sys
answers = {}
for name in json.load(sys.stdin):
    try:
        module = importlib.import_module(name)
    except Exception as error:
        answers[name] = f"does not import: {type(error).__name__}: {error}"
        continue
    names = getattr(module, "__all__", [])
    lost = [entry for entry in names if not hasattr(module, entry)]
    if lost:
        answers[name] = f"__all__ names what is not there: {lost}"
    elif len(set(names)) != len(names):
        answers[name] = "__all__ names something twice"
json.dump(answers, sys.stdout)
"""


def module_names(root: Path, files: list[Path]) -> list[str]:
    """Return the dotted names of the modules among `files` that lie under `root`."""
    inside = [path.relative_to(root).with_suffix("") for path in files if path.is_relative_to(root)]
    return [".".join(path.parts).removesuffix(".__init__") for path in inside]


def untruthful(root: Path, names: list[str]) -> dict[str, str]:
    """Import each of `names` with `root` on the path; return what is wrong, by module."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK_MODULES],
        input=json.dumps(names),
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    answers: dict[str, str] = json.loads(asked.stdout)
    return answers


def loaded_modules(statement: str) -> int:
    """Return how many modules are loaded after `statement` in an interpreter without site-packages."""
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {statement}; print(len(sys.modules))"
    return int(
        subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True).stdout
    )


def foreign_imports(source: str, wrapped: Collection[str] = ()) -> list[str]:
    """Return the modules that `source` imports from outside the standard library and the SDK itself.

    Those of the libraries `wrapped` may be imported inside functions and for type checkers.
    """
    tree = ast.parse(source)
    late = {id(node) for outer in ast.walk(tree) if _runs_later(outer) for node in ast.walk(outer)}
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        found += [name for name in names if id(node) not in late or name.partition(".")[0] not in wrapped]
    return [name for name in found if name.partition(".")[0] not in sys.stdlib_module_names and not _of_client(name)]


def _runs_later(node: ast.AST) -> bool:
    """Say whether what `node` holds does not run when the module is imported."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _of_client(name: str) -> bool:
    return name == "trimtab.client" or name.startswith("trimtab.client.")


def test_every_module_imports_and_its_public_names_exist() -> None:
    assert untruthful(SOURCE, module_names(SOURCE, kept_files(".py"))) == {}


def test_an_untruthful_module_is_found(tmp_path: Path) -> None:
    (tmp_path / "honest.py").write_text("__all__ = ['a']\na = 1\n")
    (tmp_path / "boastful.py").write_text("__all__ = ['a', 'b']\na = 1\n")
    (tmp_path / "repeating.py").write_text("__all__ = ['a', 'a']\na = 1\n")
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    names = module_names(tmp_path, list(tmp_path.glob("*.py")))
    assert sorted(untruthful(tmp_path, names)) == ["boastful", "broken", "repeating"]


@pytest.mark.parametrize("statement", ["import trimtab", "import trimtab.client"])
def test_importing_the_sdk_stays_within_its_budget(statement: str) -> None:
    assert loaded_modules(statement) <= IMPORT_BUDGET


def test_a_heavy_import_breaks_the_budget() -> None:
    assert loaded_modules("import asyncio, http.server, xml.dom.minidom") > IMPORT_BUDGET


@pytest.mark.parametrize("path", sorted((SOURCE / "trimtab/client").rglob("*.py")), ids=shown)
def test_the_sdk_imports_the_standard_library_alone(path: Path) -> None:
    wrapped = WRAPPED.get(path.relative_to(SOURCE / "trimtab/client").as_posix(), set())
    assert foreign_imports(path.read_text("utf-8"), wrapped) == []


@pytest.mark.parametrize(
    "line",
    [
        "import requests",
        "from trimtab.records import Feedback",
        "from trimtab import ids",
        "import trimtab.clientele",
    ],
)
def test_a_foreign_import_is_found(line: str) -> None:
    assert len(foreign_imports(f"import json\nfrom trimtab.client.queue import Queue\n{line}\n")) == 1


def test_a_wrapped_library_is_imported_on_use_alone() -> None:
    late = "def f() -> None:\n    import shelf.books\n    import requests\n"
    assert foreign_imports(late, {"shelf"}) == ["requests"]
    assert foreign_imports(f"import shelf\n{late}", {"shelf"}) == ["shelf", "requests"]
