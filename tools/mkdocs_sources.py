"""What the site needs beside docs/: files that pages link to, and folders listed in the navigation.

A link of a page that leaves docs/ (`../manifests/operator.yaml`) works in a checkout; on the site the same
file lies below `source/`. An entry `errors/*` of the navigation is all pages of that folder, README first.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

_LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")
_OUTSIDE = "source/"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.nav = _expanded(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    docs = Path(config.docs_dir)
    root = docs.parent
    waiting = [file.src_uri for file in files if file.is_documentation_page()]
    while waiting:
        site = waiting.pop()
        text = (root / _source(site, docs.name)).read_text()
        for _, link, _ in _LINK.findall(text):
            linked = _linked(site, link, docs.name)
            if linked.startswith(_OUTSIDE) and files.get_file_from_path(linked) is None:
                path = root / linked.removeprefix(_OUTSIDE)
                if not path.is_file():
                    raise PluginError(f"{site}: {link} is no file of the tree")
                level = InclusionLevel.NOT_IN_NAV
                made = File.generated(config, linked, abs_src_path=str(path), inclusion=level)
                files.append(made)
                if made.is_documentation_page():
                    waiting.append(linked)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    site = page.file.src_uri
    name = Path(config.docs_dir).name

    def rewritten(match: re.Match[str]) -> str:
        linked = _linked(site, match[2], name)
        if not site.startswith(_OUTSIDE) and not linked.startswith(_OUTSIDE):
            return match[0]
        return match[1] + posixpath.relpath(linked, posixpath.dirname(site) or ".") + match[3]

    return _LINK.sub(rewritten, markdown)


def _source(site: str, docs: str) -> str:
    """Where in the tree a file of the site lies."""
    return site.removeprefix(_OUTSIDE) if site.startswith(_OUTSIDE) else f"{docs}/{site}"


def _linked(site: str, link: str, docs: str) -> str:
    """Where on the site the file lies that a page links to by its place in the tree."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(_source(site, docs)), link))
    inside = f"{docs}/"
    return target.removeprefix(inside) if target.startswith(inside) else _OUTSIDE + target


def _expanded(entry: Any, docs: Path) -> Any:
    if isinstance(entry, list):
        return [_expanded(item, docs) for item in entry]
    if isinstance(entry, dict):
        return {title: _expanded(item, docs) for title, item in entry.items()}
    if isinstance(entry, str) and entry.endswith("/*"):
        pages = sorted(
            (docs / entry).parent.glob("*.md"), key=lambda path: (path.stem != "README", path.stem)
        )
        return [path.relative_to(docs).as_posix() for path in pages]
    return entry
