"""The local run's own certificate authority, so that TLS is verified here as it is in production.

It must not weaken trust: the bundle that runtimes get holds this authority alone, until a real S3
server or a real vendor is named, and there is no way to switch verification off.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import trustme

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CertificateAuthority", "NoCertificateError", "check_bundle", "public_roots"]

_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """An authority that lives as long as one local run; its private key never touches the disk."""

    bundle_path: Path
    _authority: trustme.CA

    @classmethod
    def create(cls, directory: Path, also_trusted: Iterable[Path] = ()) -> CertificateAuthority:
        """Make an authority and write `ca.pem` and `ca-bundle.pem` into the directory.

        Raises OSError when one of the files that are to be trusted as well cannot be read.
        """
        directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA(organization_name="apartmentiq-archiver local run")
        own = authority.cert_pem.bytes()
        (directory / "ca.pem").write_bytes(own)
        bundle_path = directory / "ca-bundle.pem"
        bundle_path.write_bytes(b"\n".join([own, *(path.read_bytes() for path in also_trusted)]))
        return cls(bundle_path.resolve(), authority)

    def server_context(self) -> ssl.SSLContext:
        """Return a new server context whose certificate names localhost and 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*_NAMES).configure_cert(context)
        return context

    def server_pem(self) -> bytes:
        """Return a new server's key and certificate, for a program of somebody else's."""
        return self._authority.issue_cert(*_NAMES).private_key_and_cert_chain_pem.bytes()


class NoCertificateError(Exception):
    """A file holds no authority to trust; the text says what it holds instead, and what to give."""


def check_bundle(path: Path) -> None:
    """Raise NoCertificateError where a file is not a bundle of certificates that TLS can use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    advice = 'give a PEM file with "-----BEGIN CERTIFICATE-----" in it'
    try:
        context.load_verify_locations(cafile=path)
    except FileNotFoundError as error:
        raise NoCertificateError(f"no such file; {advice}") from error
    except ssl.SSLError as error:  # an OSError, too
        raise NoCertificateError(f"no certificate in it, or a broken one; {advice}") from error
    except OSError as error:
        raise NoCertificateError(f"it cannot be read ({error.strerror}); {advice}") from error
    if not context.cert_store_stats()["x509"]:
        raise NoCertificateError(f"no certificate in it; {advice}")


def public_roots() -> Path:
    """Return the file of public authorities, for runs that leave this machine."""
    return Path(certifi.where())
