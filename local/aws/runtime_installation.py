"""Lays out `/var/runtime` for local runtimes: AWS's runtime client and nothing else of this venv.

A function that finds its packages here found them in its layers; that is why the venv's
site-packages folder is not on its path, and why the copy must stay as small as this.
"""

from __future__ import annotations

import compileall
import platform
import py_compile
import shutil
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

__all__ = ["InstallationError", "RuntimeInstallation", "install_runtime"]

_MODULES = ("awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson")
_OWN_SCRIPTS = ("bootstrap.py", "launch.py")
_EMULATORS = {
    "x86_64": "aws-lambda-rie-x86_64",
    "aarch64": "aws-lambda-rie-arm64",
    "arm64": "aws-lambda-rie-arm64",
}


class InstallationError(Exception):
    """A tool that the local runtime stands on is missing; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class RuntimeInstallation:
    """Where the emulator is, and the folder with the runtime client and our two scripts."""

    emulator: Path
    folder: Path


def install_runtime(folder: Path) -> RuntimeInstallation:
    """Copy the runtime client into the folder, compiled, unless this version is there already.

    Raises InstallationError when awslambdaric or aws-sam-cli is not installed, or when the
    emulator does not exist for this machine (it is made for Linux on x86_64 and arm64).
    """
    emulator = _find_emulator()
    stamp = folder / f"awslambdaric-{version('awslambdaric')}"
    if not stamp.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for module in _MODULES:
            _copy_module(module, folder)
    for script in _OWN_SCRIPTS:
        shutil.copy2(Path(__file__).with_name(script), folder / script)
    # checked by nobody at start: the runtime must not write here, as it could not on Lambda
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(str(folder), quiet=2, invalidation_mode=mode)
    stamp.touch()
    return RuntimeInstallation(emulator, folder)


def _find_emulator() -> Path:
    name = _EMULATORS.get(platform.machine())
    if name is None or platform.system() != "Linux":
        raise InstallationError(
            f"AWS's Lambda emulator does not exist for {platform.system()} {platform.machine()}; "
            "run the local cloud on Linux (x86_64 or arm64)"
        )
    found = _origin("samcli").parent / "local" / "rapid" / name
    if not found.is_file():
        raise InstallationError(f"{found} is missing; run `make setup` again")
    return found


def _copy_module(module: str, folder: Path) -> None:
    origin = _origin(module)
    if origin.name == "__init__.py":
        ignore = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(origin.parent, folder / module, ignore=ignore)
    else:
        shutil.copy2(origin, folder / origin.name)


def _origin(module: str) -> Path:
    spec = None
    with suppress(ModuleNotFoundError):
        spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise InstallationError(f"the module {module} is not installed; run `make setup`")
    return Path(spec.origin)
