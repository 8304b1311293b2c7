"""Security of one program: its TLS directory and the file of tokens, read again each second."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aidb.security import tokens
from aidb.security.material import BadMaterial, Material
from aidb.security.names import DEFAULT_DOMAIN, server_name
from aidb.security.watch import Watched

# x509 is a sixth of what a program without TLS would import.
if TYPE_CHECKING:
    from cryptography import x509

POLL_SECONDS = 1.0

Tell = Callable[[bool, str], None]
ProgramKind = Literal["node", "coordinator"]


class SecurityRefused(ValueError):
    """The program cannot start with this; the message says why and what to do."""


def add_arguments(add: Callable[..., Any]) -> None:
    """The options that all programs share. ``add`` is that of an argument parser."""
    add(
        "--tls", type=Path, metavar="DIR", help="ca.crt, tls.crt and tls.key: every port demands certificates"
    )
    add("--tokens", type=Path, metavar="FILE", help="the clients' tokens (with --tls)")
    add(
        "--tls-domain",
        default=DEFAULT_DOMAIN,
        metavar="NAME",
        help=f"of the programs' names in certificates ({DEFAULT_DOMAIN})",
    )
    add(
        "--health-listen", default="", metavar="HOST:PORT", help="a plain port for health checks alone (none)"
    )


class ServerSecurity:
    """What a program shows, trusts and lets in. Listeners are told of a change by the thread that notices it.

    Raises:
        SecurityRefused
    """

    def __init__(self, directory: Path, file: Path, domain: str, kind: ProgramKind) -> None:
        self.domain = domain
        self._kind = kind
        self._directory, self._file = directory, file
        self._listeners: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._material = Watched(lambda: Material.read(directory), self._usable)
            self._tokens = Watched(file.read_bytes, tokens.parse)
        except OSError as error:
            raise SecurityRefused(f"cannot read {error.filename}: {error.strerror}") from error
        except BadMaterial as error:
            raise SecurityRefused(f"cannot use the TLS directory {directory}: {error}") from error
        except tokens.BadTokens as error:
            raise SecurityRefused(f"cannot use {file}: {error}") from error

    @classmethod
    def of(
        cls, directory: Path | None, file: Path | None, domain: str, kind: ProgramKind
    ) -> ServerSecurity | None:
        """From the options; None when security is off. Raises SecurityRefused."""
        if directory is None and file is None:
            return None
        if directory is None or file is None:
            raise SecurityRefused("--tls and --tokens go together: give both, or neither")
        return cls(directory, file, domain, kind)

    @property
    def material(self) -> Material:
        return self._material.value

    @property
    def tokens(self) -> tuple[tokens.Token, ...]:
        return self._tokens.value

    def on_change(self, listener: Callable[[], None]) -> None:
        """``listener`` is called after each change. One that raises ValueError is told as a problem."""
        self._listeners.append(listener)

    def start(self, tell: Tell) -> None:
        """Begin to watch. ``tell(problem, message)`` is for the log; it never gets a secret."""
        self._thread = threading.Thread(target=self._run, args=(tell,), name="security", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def collector(self) -> Collector:
        """Its metrics."""
        return SecurityCollector(self.figures)

    def _run(self, tell: Tell) -> None:
        while not self._stop.wait(POLL_SECONDS):
            changed = False
            for what, watched in ((self._directory, self._material), (self._file, self._tokens)):
                failures = watched.failures
                if watched.poll():
                    changed = True
                    tell(False, f"{what} changed: in use from now on")
                elif watched.failures > failures:
                    why = f"cannot be used, what was read before stays in use: {watched.problem}"
                    tell(True, f"{what} changed and {why}")
            if changed:
                self._told(tell)

    def _told(self, tell: Tell) -> None:
        for listener in self._listeners:
            try:
                listener()
            except ValueError as error:
                tell(True, f"a change of {self._directory} was not taken: {error}")

    def _usable(self, material: Material) -> Material:
        """Itself. Raises BadMaterial for what nobody would accept of this program."""
        certificate = _parsed(material.checked())
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            raise BadMaterial(
                f"tls.crt has expired ({certificate.not_valid_after_utc:%Y-%m-%d %H:%M}Z): renew it"
            )
        needed = {server_name(self.domain), f"{self._kind}.{self.domain}"}
        missing = sorted(needed - _dns_names(certificate))
        if missing:
            raise BadMaterial(
                f"tls.crt does not speak for {' and '.join(missing)}: "
                "give it these DNS names, or the domain it has with --tls-domain"
            )
        return material

    def figures(self) -> tuple[int, int, float]:
        """Renewals, failures, and when the certificate expires (seconds since 1970)."""
        certificate = _parsed(self.material)
        watched = (self._material, self._tokens)
        return (
            sum(one.renewals for one in watched),
            sum(one.failures for one in watched),
            certificate.not_valid_after_utc.timestamp(),
        )


def _parsed(material: Material) -> x509.Certificate:
    from cryptography import x509

    return x509.load_pem_x509_certificate(material.certificate)


def _dns_names(certificate: x509.Certificate) -> set[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return set(names.get_values_for_type(x509.DNSName))


class SecurityCollector(Collector):
    """``figures``: see `ServerSecurity.figures`."""

    def __init__(self, figures: Callable[[], tuple[int, int, float]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        renewals, failures, expires = self._figures()
        yield CounterMetricFamily(
            "aidb_security_reloads", "Times that changed certificates or tokens were taken", renewals
        )
        yield CounterMetricFamily(
            "aidb_security_reload_failures", "Times that they could not be used", failures
        )
        yield GaugeMetricFamily(
            "aidb_certificate_expires_timestamp_seconds", "When this program's certificate expires", expires
        )
