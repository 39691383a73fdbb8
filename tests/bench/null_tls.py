"""TLS connections for null_s3: through null_tls.c where it compiles, through `ssl` elsewhere.

Both verify nothing of the client and must look the same to it; the first only costs less.
"""

from __future__ import annotations

import ctypes
import shutil
import ssl
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import trustme

if TYPE_CHECKING:
    import socket

__all__ = ["CACHE", "NativeTls", "PythonTls", "TlsConnection", "compile_c", "make_tls"]

_HERE = Path(__file__).parent
CACHE = _HERE.parents[1] / ".cache" / "bench"
_NAMES = ("localhost", "127.0.0.1")


class TlsConnection(Protocol):
    """What the server needs of a connection. `receive` returns 0 at its end."""

    def receive(self, buffer: memoryview, at_least: int) -> int: ...  # noqa: D102
    def send(self, data: bytes | memoryview) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class PythonTls:
    """The standard library's TLS."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._context)

    def accept(self, plain: socket.socket) -> TlsConnection:
        """Shake hands; raises OSError."""
        return _PythonConnection(self._context.wrap_socket(plain, server_side=True))


class _PythonConnection:
    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls

    def receive(self, buffer: memoryview, at_least: int) -> int:
        have = 0
        while have < at_least and (count := self._tls.recv_into(buffer[have:])):
            have += count
        return have

    def send(self, data: bytes | memoryview) -> None:
        self._tls.sendall(data)

    def close(self) -> None:
        self._tls.close()


class NativeTls:
    """OpenSSL itself, a buffer at a time and without the interpreter's lock."""

    def __init__(self, certificate: trustme.LeafCert, library: Path) -> None:
        self._calls = calls = ctypes.CDLL(str(library))
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        calls.null_tls_context.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
        calls.null_tls_context.restype = pointer
        calls.null_tls_accept.argtypes = (pointer, ctypes.c_int)
        calls.null_tls_accept.restype = pointer
        calls.null_tls_read.argtypes = (pointer, pointer, size, size)
        calls.null_tls_read.restype = ctypes.c_long
        calls.null_tls_write.argtypes = (pointer, pointer, size)
        calls.null_tls_close.argtypes = (pointer,)
        calls.null_tls_close.restype = None
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        self._context = calls.null_tls_context(chain, certificate.private_key_pem.bytes())
        if not self._context:
            raise OSError("OpenSSL would not take the certificate")

    def accept(self, plain: socket.socket) -> TlsConnection:
        """Shake hands; raises OSError."""
        tls = self._calls.null_tls_accept(self._context, plain.fileno())
        if not tls:
            raise OSError("the handshake failed")
        return _NativeConnection(self._calls, tls)


class _NativeConnection:
    def __init__(self, calls: ctypes.CDLL, tls: int) -> None:
        self._calls, self._tls = calls, tls

    def receive(self, buffer: memoryview, at_least: int) -> int:
        where = _address_of(buffer)
        return int(self._calls.null_tls_read(self._tls, where, len(buffer), at_least))

    def send(self, data: bytes | memoryview) -> None:
        where = data if isinstance(data, bytes) else _address_of(data)
        if not self._calls.null_tls_write(self._tls, where, len(data)):
            raise ConnectionError

    def close(self) -> None:
        self._calls.null_tls_close(self._tls)


def make_tls(directory: Path, *, native: bool) -> tuple[PythonTls | NativeTls, Path]:
    """Make an authority for this run alone, and return our side of it and the clients' bundle."""
    authority = trustme.CA(organization_name="apartmentiq-archiver benchmark")
    directory.mkdir(parents=True, exist_ok=True)
    bundle = directory / "ca-bundle.pem"
    bundle.write_bytes(authority.cert_pem.bytes())
    certificate = authority.issue_cert(*_NAMES)
    library = CACHE / "null_tls.so"
    if native and compile_c(_HERE / "null_tls.c", library, "-shared", "-fPIC") is None:
        return NativeTls(certificate, library), bundle
    return PythonTls(certificate), bundle


def compile_c(source: Path, target: Path, *options: str) -> str | None:
    """Compile one file against OpenSSL, if it changed; returns what stands in the way."""
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return None
    compiler = shutil.which("cc") or shutil.which(sysconfig.get_config_var("CC") or "gcc")
    if compiler is None:
        return "there is no C compiler"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder, "made")
        command = [compiler, "-O2", *options, "-o", str(made), str(source), "-lssl", "-lcrypto"]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own files
        if done.returncode:
            return "it did not compile (OpenSSL's headers are needed)"
        made.replace(target)  # at once: two benchmarks may start together
    return None


def _address_of(view: memoryview) -> int:
    """Return where writable bytes lie; ctypes takes no others."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
