"""Two builds are compared by every byte that is uploaded, and by nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from local.supply_chain.__main__ import ROOT
from local.supply_chain.builds import BuildError, differences, parts_of, zip_of

BUILT = ROOT / ".aws-sam" / "local"


@pytest.fixture
def builds(tmp_path: Path) -> tuple[Path, Path]:
    """Make two builds alike: one function, one module each of source and bytecode."""
    for name in ("one", "other"):
        function = tmp_path / name / "Function"
        (function / "package").mkdir(parents=True)
        (function / "handler.py").write_text("import package\n")
        (function / "package" / "module.pyc").write_bytes(b"\x00\x01")
    return tmp_path / "one", tmp_path / "other"


def test_times_and_places_do_not_count(builds: tuple[Path, Path]) -> None:
    """A zip depends on names, modes and bytes alone."""
    one, other = builds
    os.utime(other / "Function" / "handler.py", (0, 0))
    assert differences(one, other) == []
    assert zip_of(one / "Function") == zip_of(other / "Function")


def test_whatever_else_differs_is_named(builds: tuple[Path, Path]) -> None:
    """A byte of bytecode, a mode, a file more, a function more."""
    one, other = builds
    (other / "Function" / "package" / "module.pyc").write_bytes(b"\x00\x02")
    (other / "Function" / "handler.py").chmod(0o755)
    (other / "Function" / "new.py").touch()
    (other / "Layer").mkdir()
    assert differences(one, other) == [
        "Layer is in one build only",
        "Function/handler.py differs",
        "Function/new.py differs",
        "Function/package/module.pyc differs",
    ]


def test_no_build_is_not_two_equal_ones(tmp_path: Path) -> None:
    """Empty folders are an error, and say what to do."""
    with pytest.raises(BuildError, match="make build"):
        parts_of(tmp_path)


def test_no_path_of_the_building_machine_is_in_the_build() -> None:
    """Bytecode knows its source by the name that it has in Lambda."""
    here = str(ROOT).encode()
    finished_at = (BUILT / ".finished").stat().st_mtime
    built = [
        path
        for path in sorted(BUILT.rglob("*"))
        # What is newer was made by a run of it here: Python keeps the bytecode of what it imports.
        if path.is_file() and path.stat().st_mtime <= finished_at
    ]
    assert any(path.suffix == ".pyc" for path in built)
    assert [path for path in built if _holds(path, here)] == []


def _holds(path: Path, text: bytes) -> bool:
    return text in path.read_bytes()


def test_the_comparison_sees_a_real_builds_bytecode(tmp_path: Path) -> None:
    """A layer that differs in one compiled module is not taken for the same."""
    layer = BUILT / "ArchiverLayer"
    for name in ("one", "other"):
        shutil.copytree(layer, tmp_path / name / "ArchiverLayer")
    changed = next(iter(sorted((tmp_path / "other").rglob("archive.*.pyc"))))
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    found = differences(tmp_path / "one", tmp_path / "other")
    assert found == [f"{changed.relative_to(tmp_path / 'other')} differs"]
