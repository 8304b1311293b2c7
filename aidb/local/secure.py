"""The certificates and tokens of a local cluster that was made with `--secure`, below its data directory:

    security/authorities/<n>.{crt,key}     what signs, n = 1, 2, ...; nothing that runs reads the keys
    security/<program>/                    a TLS directory each
    security/client/                       the command line's, with `token`, an administrator's
    security/tokens.json                   hashes of the tokens

All authorities there are trusted. The newest signs once everybody has had the chance to trust it: from the
first `renew` after the one that made it. All files are readable by their owner alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from aidb.local.layout import Layout
from aidb.local.refusal import Refused
from aidb.options import Tls
from aidb.security.names import DEFAULT_DOMAIN

if TYPE_CHECKING:
    from aidb.security.authority import Signed

CLIENT = "client"
ADMIN = "aidb-up"


def tls_directory(layout: Layout, name: str) -> Path:
    return layout.security / name


def tokens_file(layout: Layout) -> Path:
    return layout.security / "tokens.json"


def client_tls(layout: Layout) -> Tls:
    """What the command line connects with."""
    directory = tls_directory(layout, CLIENT)
    return Tls(directory, token_file=directory / "token")


def ensure(layout: Layout, programs: Iterable[str]) -> None:
    """Makes what is missing. Raises Refused."""
    from aidb.security import tokens
    from aidb.security.authority import write_private

    try:
        authorities = _authorities(layout) or [_new_authority(layout, 1)]
        for name in (*programs, CLIENT):
            if not (tls_directory(layout, name) / "tls.key").exists():
                _issue(layout, name, authorities[-1], authorities)
        if not tokens_file(layout).exists():
            secret = tokens.new_secret()
            admin = tokens.Token(ADMIN, "admin", tokens.digest(secret).hex())
            write_private(tls_directory(layout, CLIENT) / "token", secret.encode() + b"\n")
            write_private(tokens_file(layout), tokens.document([admin]))
    except OSError as error:
        raise Refused(f"cannot make {error.filename}: {error.strerror}") from error


def renew(layout: Layout, programs: Iterable[str], *, authority: bool, forget: bool) -> int:
    """New certificates for all, which programs and clients take within seconds; how many there are.

    ``authority``: one more authority is made and trusted; it signs from the next renewal on. ``forget``: all
    but the newest are trusted no more.

    Raises:
        Refused
    """
    try:
        authorities = _authorities(layout)
        if not authorities:
            raise Refused(f"{layout.root} is not secured: make a cluster with `aidb up --secure`")
        signer = authorities[-1]
        if authority:
            authorities.append(_new_authority(layout, _numbers(layout)[-1] + 1))
        if forget:
            authorities = [signer]
        names = [*programs, CLIENT]
        for name in names:
            _issue(layout, name, signer, authorities)
        if forget:
            for number in _numbers(layout)[:-1]:
                for kind in ("key", "crt"):
                    _file(layout, number, kind).unlink()
    except OSError as error:
        raise Refused(f"cannot renew {error.filename}: {error.strerror}") from error
    return len(names)


def _issue(layout: Layout, name: str, signer: Signed, trusted: list[Signed]) -> None:
    from aidb.security import authority

    if name == CLIENT:
        signed = authority.client(signer, name)
    else:
        kind = "coordinator" if name == "coordinator" else "node"
        signed = authority.program(signer, name, kind, DEFAULT_DOMAIN)
    ca = b"".join(one.certificate for one in trusted)
    authority.write_directory(tls_directory(layout, name), ca, signed)


def _authorities(layout: Layout) -> list[Signed]:
    from aidb.security.authority import Signed

    def read(number: int) -> Signed:
        return Signed(_file(layout, number, "crt").read_bytes(), _file(layout, number, "key").read_bytes())

    return [read(number) for number in _numbers(layout)]


def _new_authority(layout: Layout, number: int) -> Signed:
    from aidb.security.authority import new_authority, write_private

    made = new_authority(f"aidb local authority {number}")
    _file(layout, number, "crt").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    layout.security.chmod(0o700)
    write_private(_file(layout, number, "key"), made.key)
    # Last: an authority is there when its certificate is.
    write_private(_file(layout, number, "crt"), made.certificate)
    return made


def _numbers(layout: Layout) -> list[int]:
    return sorted(int(path.stem) for path in (layout.security / "authorities").glob("*.crt"))


def _file(layout: Layout, number: int, kind: str) -> Path:
    return layout.security / "authorities" / f"{number}.{kind}"
