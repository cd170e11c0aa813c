"""packaging/vendor.py: what it changes of what it fetches, and that it sees what was changed since."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import ROOT

#: Not imported: a library of the same name as its folder is in the way.
relative_imports = runpy.run_path(str(ROOT / "packaging" / "vendor.py"))["relative_imports"]


def test_bare_imports_become_relative() -> None:
    source = (
        'import{a as b}from"preact";import"preact/hooks";export*from\'htm\';const x="from";\n//# sourceMappingURL=a.map'
    )
    names = {"preact": "preact.js", "preact/hooks": "preact-hooks.js", "htm": "htm.js"}
    wanted = 'import{a as b}from"./preact.js";import"./preact-hooks.js";export*from\'./htm.js\';const x="from";\n'
    assert relative_imports(source, names) == wanted
    assert relative_imports(wanted, names) == wanted


def test_an_import_of_something_else_is_refused() -> None:
    with pytest.raises(SystemExit, match="left-pad"):
        relative_imports('import x from "left-pad"', {})


def test_a_file_that_is_not_what_the_lock_says_is_named(tmp_path: Path) -> None:
    (tmp_path / "packaging").mkdir()
    shutil.copy(ROOT / "packaging" / "vendor.py", tmp_path / "packaging")
    shutil.copytree(ROOT / "static" / "vendor", tmp_path / "static" / "vendor")

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "packaging/vendor.py", "--check"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (check().returncode, check().stderr) == (0, "")
    with (tmp_path / "static" / "vendor" / "preact.js").open("a") as file:
        file.write("// one more line")
    (tmp_path / "static" / "vendor" / "added.js").write_text("")
    found = check()
    assert found.returncode == 1
    assert "preact.js is not what the lock says" in found.stderr
    assert "added.js" in found.stderr
    assert "htm.js" not in found.stderr
