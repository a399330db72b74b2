"""The package: versions, names, types, and imports where something is missing."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ssehub
import ssehub._ssehub
from processes import ROOT
from ssehub import Hub, Subscription

PACKAGE = Path(inspect.getfile(ssehub)).parent


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_one_version() -> None:
    cargo = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert cargo is not None
    versions = {
        cargo[1],
        json.loads((ROOT / "package.json").read_text())["version"],
        importlib.metadata.version("ssehub"),
        ssehub.__version__,
        ssehub._ssehub.__version__,
    }
    assert len(versions) == 1, versions


def test_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_ssehub.pyi").is_file()


def test_all_is_there_sorted_and_whole() -> None:
    assert sorted(ssehub.__all__) == ssehub.__all__
    for name in ssehub.__all__:
        assert hasattr(ssehub, name)
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ssehub")
        for alias in node.names
    }
    assert imported == set(ssehub.__all__)


def test_the_stub_names_what_the_native_module_has() -> None:
    stub = ast.parse((PACKAGE / "_ssehub.pyi").read_text())
    named = {
        node.name
        for node in stub.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
    }
    native = {name for name in dir(ssehub._ssehub) if not name.startswith("_")}
    assert named == native
    (exported,) = (
        ast.literal_eval(node.value)
        for node in stub.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert set(exported) == native | {"__version__"}


def test_everything_public_says_what_it_is() -> None:
    for name in ssehub.__all__:
        value = getattr(ssehub, name)
        if name == "__version__":
            continue
        assert value.__doc__, name
        if not inspect.isclass(value):
            continue
        for member, function in inspect.getmembers(value):
            if not member.startswith("_") and member not in dir(Exception):
                doc = getattr(function, "__doc__", None) or getattr(value, member, None)
                # Plain attributes are explained by their class.
                told = any(f"    {member}: " in (base.__doc__ or "") for base in value.__mro__)
                assert doc or told, f"{name}.{member}"


def test_names_in_tracebacks_are_the_public_ones() -> None:
    assert Hub.__module__.startswith("ssehub")
    for value in (ssehub.Event, ssehub.Parser, Subscription):
        assert value.__module__ in ("ssehub", "ssehub.subscription")
        assert value.__qualname__ == value.__name__


@pytest.mark.parametrize(
    "module", ["ssehub", "ssehub.testing", "ssehub.starlette", "ssehub.fastapi", "ssehub.flask"]
)
def test_imports_without_what_is_optional(module: str) -> None:
    """Each module needs its own framework and no other; the package needs none."""
    framework = module.partition(".")[2]
    blocked = {
        "starlette",
        "fastapi",
        "flask",
        "pydantic",
        "typing_extensions",
        "werkzeug",
        "anyio",
    }
    allowed = {
        "starlette": {"starlette", "anyio", "typing_extensions"},
        "fastapi": blocked - {"flask", "werkzeug"},
        "flask": {"flask", "werkzeug"},
    }.get(framework, set())
    done = python(f"""
        import sys
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {blocked - allowed!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Blocker())
        import {module}
        if {module!r} == "ssehub":
            reader = ssehub.Hub().subscribe("t")
            reader.hub.publish("t", {{"a": 1}})
            print(reader.get(timeout=5).json())
            import dataclasses
            try:
                ssehub.Event("1").json(int)
            except ImportError as error:
                print(error)
    """)
    assert done.returncode == 0, done.stderr
    if module == "ssehub":
        assert done.stdout.startswith("{'a': 1}\n")
        assert "pip install pydantic" in done.stdout


def test_a_native_module_that_does_not_load_says_what_to_do() -> None:
    done = python("""
        import sys
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name == "ssehub._ssehub":
                    raise ImportError("libsomething.so: cannot open shared object file")
        sys.meta_path.insert(0, Blocker())
        import ssehub
    """)
    last = done.stderr.strip().splitlines()[-1]
    assert "ImportError" in last
    assert "libsomething.so" in last
    assert "pip install" in last
    assert sys.platform[:3].lower() in last.lower()


def test_importing_starts_nothing() -> None:
    done = python("""
        import os, signal, sys, threading
        before = len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM)
        import ssehub
        hub = ssehub.Hub()
        after = len(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM)
        tasks = len(os.listdir("/proc/self/task"))
        assert before == after, (before, after)
        assert (threading.active_count(), tasks) == (1, 1), tasks
        slow = {name for name in sys.modules if name in ("pydantic", "fastapi", "flask", "uvloop")}
        assert not slow, slow
    """)
    assert done.returncode == 0, done.stderr


def test_a_finished_process_ends_with_open_readers_and_history() -> None:
    done = python(
        """
        import threading
        import ssehub
        hub = ssehub.Hub()
        reader = hub.subscribe("t")
        hub.publish("t", "x")
        reader.get(timeout=5)
        threading.Thread(target=lambda: reader.get(), daemon=True).start()
    """,
        "-X",
        "dev",
        "-W",
        "error",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_in_an_interpreter_that_optimises() -> None:
    done = python(
        """
        import ssehub
        reader = ssehub.Hub().subscribe("t")
        reader.hub.publish("t", "x")
        print(reader.get(timeout=5).data)
    """,
        "-OO",
    )
    assert (done.returncode, done.stdout) == (0, "x\n"), done.stderr
