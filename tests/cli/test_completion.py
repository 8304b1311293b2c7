"""Completion as the shells and kubectl ask for it: by the scripts that are installed, in the shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aidb.cli.profile import config
from aidb.cli.profile.entries import Profile
from tests.cli.command import SECONDS, Command

BIN = Path(sys.executable).parent
# What is typed goes where the shell keeps it, and its own function is called, as Tab does.
BASH = """
eval "$({source} {program})"
COMP_WORDS=({typed}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$function {program}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
autoload -Uz compinit; compinit -u -D
eval "$({source} {program})"
words=({typed}) CURRENT=$#words
_arguments() {{ print -r -- "$@" }}
${{_comps[{program}]}}
"""
FISH = "{source} {program} | source; complete -C {line}"
SHELLS = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}


def completed(shell: str, typed: list[str], **environment: str) -> str:
    """What is offered for the last word."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    program = typed[0]
    words = " ".join(f"'{word}'" for word in typed)
    text = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell].format(
        source=f"_{program.upper().replace('-', '_')}_COMPLETE=source_{shell}",
        program=program,
        typed=words,
        line=f"'{' '.join(typed)}'",
    )
    return ran([shell, *SHELLS[shell], text], **environment)


def ran(command: list[str], **environment: str) -> str:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_options_are_completed(shell: str) -> None:
    assert "set" in completed(shell, ["aidb", "profile", "s"])
    found = completed(shell, ["aidb-admin", "topology", "history", "--li"])
    assert "--limit" in found and "--after" not in found


def test_values_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDB_CONFIG", str(tmp_path / "config.toml"))
    config.save(config.Config(None, {"prod": Profile(), "test": Profile()}))
    assert completed("bash", ["aidb", "--profile", ""]).split() == ["prod", "test"]
    assert completed("bash", ["aidb", "status", "-o", "y"]).split() == ["yaml"]
    nobody = {"AIDB_ADDRESS": "127.0.0.1:1"}
    assert completed("bash", ["aidb-admin", "hand-over", "--shard", ""], **nobody).split() == []


def test_shards_are_asked_of_the_cluster(aidb: Command) -> None:
    """Whoever answers too late is left out: what is offered is right, or nothing."""
    here = {"AIDB_DATA": str(aidb.data), "AIDB_CONFIG": str(aidb.directory / "config.toml")}
    for typed in (["hand-over", "--shard"], ["add-replica", "--shard"], ["move-slots", "--to"]):
        found, ends = list[str](), time.monotonic() + SECONDS
        while not found and time.monotonic() < ends:
            found = completed("bash", ["aidb-admin", *typed, ""], **here).split()
        assert found == ["0", "1"]


def test_kubectl_is_answered_in_its_words(tmp_path: Path) -> None:
    plugin = "from aidb_operator.kubectl.complete import main; main()"
    nowhere = {"KUBECONFIG": str(tmp_path / "none")}

    def offered(*typed: str) -> list[str]:
        return ran([sys.executable, "-c", plugin, *typed], **nowhere).splitlines()

    assert offered("sta") == ["status\tConditions, shards, backups and restores.", ":4"]
    assert offered("logs", "--component", "r") == ["replica", "router", ":4"]
    assert offered("logs", "-n", "a b", "--component", "c") == ["coordinator", ":4"]
    assert offered("status", "") == [":0"], "no cluster can be asked"
