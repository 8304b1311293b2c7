"""Whatever is wrong with what lies in the store, a restore gives back the exact state or a precise error, and
leaves nothing half restored.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from aidb_node.recovery.recover import recover

from aidb.durability.catalog import Catalog
from aidb.durability.loss import Lossy
from aidb.durability.names import Names
from aidb.durability.restore_plan import Target
from aidb.objects.errors import Damaged, Denied, ObjectError
from aidb.objects.file import FileStore
from tests.backup.support import NAMES
from tests.backup.test_recovery import Lived, lived, once, state_in  # noqa: F401

Harm = Callable[[random.Random, Path], None]


def flip(draw: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def truncate(draw: random.Random, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content))])


def lengthen(draw: random.Random, path: Path) -> None:
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.randrange(1, 40)))


def remove(_: random.Random, path: Path) -> None:
    path.unlink()


def exchange(draw: random.Random, path: Path) -> None:
    """With another object of its kind: each is whole, and in the wrong place."""
    others = [one for one in path.parent.iterdir() if one.name != path.name]
    if others:
        path.write_bytes(draw.choice(sorted(others)).read_bytes())
    else:
        flip(draw, path)


HARMS: list[Harm] = [flip, truncate, lengthen, remove, exchange]
ENDS = ("lossy", "error", "restored")
# And more until each end was seen: the rarest comes in a tenth of the rounds.
ROUNDS, MOST_ROUNDS = 30, 300


def test_any_harm_to_any_objects_is_an_error_or_none(lived: Lived, tmp_path: Path) -> None:  # noqa: F811
    """One to three objects at a time, of every kind that a shard has."""
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    draw = random.Random(seed)
    root = tmp_path / "objects"
    whole = tmp_path / "whole"
    shutil.copytree(root, whole)
    places = [lsn for lsn in lived.history.states if lsn >= lived.snapshots[0].lsn]
    ended: Counter[str] = Counter()
    for round in range(MOST_ROUNDS):
        if round >= ROUNDS and min(ended[name] for name in ENDS) > 0:
            break
        shutil.rmtree(root)
        shutil.copytree(whole, root)
        objects = FileStore(root)
        keys = draw.sample([stat.key for stat in objects.page("uid/0/")], draw.randrange(1, 4))
        for key in keys:
            draw.choice(HARMS)(draw, root / key)
        lsn = draw.choice(places)
        directory = tmp_path / f"restored-{round}"
        target = Target(lsn=lsn) if draw.random() < 0.5 else Target()
        try:
            report = recover(Catalog(objects, NAMES), directory, target)
        except Lossy as lossy:
            ended["lossy"] += 1
            assert lossy.loss.after_lsn < lived.last
            assert any(key.split("/")[-1].lstrip("0") in str(lossy) for key in keys), (lossy, keys)
        except ObjectError as error:
            ended["error"] += 1
            assert str(error)
        else:
            ended["restored"] += 1
            assert report.lsn in lived.history.states, (keys, report)
            # A seal or the newest pieces that are not there any more cannot be told from ones never made.
            if target.lsn == lsn:
                assert report.lsn == lsn
            assert state_in(directory) == lived.history.states[report.lsn], keys
            continue
        assert not (directory / "store").exists(), keys
    assert min(ended[name] for name in ENDS) > 0, ended


def test_the_objects_of_another_cluster_under_ones_own_name(lived: Lived, tmp_path: Path) -> None:  # noqa: F811
    """A bucket that was copied: every object says whose it is."""
    root = tmp_path / "objects"
    shutil.copytree(root / "uid", root / "other")
    for names in (Names("other", 0),):
        with pytest.raises(Damaged, match="belongs to uid/0"):
            recover(Catalog(lived.objects, names), tmp_path / "new", Target())
    shutil.copytree(root / "uid" / "0", root / "uid" / "5")
    with pytest.raises(Damaged, match="belongs to uid/0"):
        recover(Catalog(lived.objects, Names("uid", 5)), tmp_path / "new", Target())
    assert not (tmp_path / "new" / "store").exists()


@pytest.mark.parametrize("kind", ["/epoch/", "/manifest/", "/log/", "/sst/"])
def test_credentials_that_end_in_the_middle(lived: Lived, tmp_path: Path, kind: str) -> None:  # noqa: F811
    class Locked(FileStore):
        def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
            if kind in key:
                raise Denied(f"{self.url} refuses to give {key}: check the credentials")
            return super().get(key, start, length)

        def page(self, prefix: str, after: str = "") -> list:  # type: ignore[type-arg]
            if kind == "/epoch/" and kind in prefix:
                raise Denied(f"{self.url} refuses to list {prefix}: check the credentials")
            return super().page(prefix, after)

    locked = Locked(tmp_path / "objects")
    with pytest.raises(Denied, match="credentials"):
        recover(Catalog(locked, NAMES), tmp_path / "new", Target())
    assert not (tmp_path / "new" / "store").exists()
    assert Catalog(lived.objects, NAMES).holds() == []
