"""Build the documentation site: python docs/site/build.py OUT [sphinx-build's options]

The pages are the Markdown of docs/ as it is, the README and the other files of the root that people read, and
the reference, which is made of the code at that moment. All of it is put together in OUT/source, so that what
Sphinx reads can be looked at, and nothing is written into the repository.
"""

import json
import posixpath
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import reference

import atonce

HERE = Path(__file__).parent
DOCS, ROOT = HERE.parent, HERE.parents[1]
PROJECT = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Files of the root that become pages."""
WITHOUT_SITE = "commands, Python and REST are in the site that `make docs` builds"
"""What the start page says where there is no site to link to."""
LINK = re.compile(r"\[(?P<said>[^\]]+)\]\((?P<path>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")


def main() -> None:
    """Put the source together and call Sphinx."""
    from sphinx.cmd.build import main as sphinx

    out, *options = sys.argv[1:]
    source = assemble(Path(out) / "source")
    code = sphinx(["-q", *options, str(source), str(Path(out) / "html")])
    if not code:
        print(f"the site is {Path(out) / 'html/index.html'}")
    sys.exit(code)


def assemble(source: Path) -> Path:
    """Write all that Sphinx reads into a folder, which is emptied before."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("site", "__pycache__"))
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("*.py", "__pycache__"), dirs_exist_ok=True)
    shutil.copy(HERE / "conf.py", source)
    pages = [f"docs/{path.relative_to(source).as_posix()}" for path in source.rglob("*.md")]
    (source / "project").mkdir()
    for page in [*PROJECT, *pages]:
        text = (ROOT / page).read_text(encoding="utf-8")
        (source / _place(page)).write_text(_relinked(text, page), encoding="utf-8")
    (source / "reference").mkdir()
    for name in ("commands", "python", "rest"):
        (source / f"reference/{name}.md").write_text(getattr(reference, name)(), encoding="utf-8")
    keys = source / "recipes.md"
    keys.write_text(reference.recipe_keys(keys.read_text(encoding="utf-8")), encoding="utf-8")
    (source / "extra").mkdir()
    for page in sorted((source / "notebooks").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        (source / f"extra/{page.stem}.ipynb").write_text(
            json.dumps(_notebook(text), indent=1), encoding="utf-8"
        )
        title, _, rest = text.partition("\n")
        offer = f'<a href="../{page.stem}.ipynb" download>Download as a Jupyter notebook</a>'
        page.write_text(f"{title}\n\n{offer}\n{rest}", encoding="utf-8")
    schemas = {"recipe.schema": atonce.Recipe.model_json_schema(), "openapi": reference.openapi()}
    for name, schema in schemas.items():  # for editors of TOML, and for programs that make clients
        (source / f"extra/{name}.json").write_text(json.dumps(schema, indent=1), encoding="utf-8")
    index = source / "index.md"
    start = index.read_text(encoding="utf-8")
    assert WITHOUT_SITE in start
    links = ", ".join(f"[{name}](reference/{name.lower()}.md)" for name in ("commands", "Python", "REST"))
    index.write_text(start.replace(WITHOUT_SITE, links) + _contents(source), encoding="utf-8")
    return source


def _place(path: str) -> str | None:
    """Where a file of the repository is in the site, if it is there."""
    if path in PROJECT:
        return f"project/{path.lower()}"
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def _relinked(text: str, page: str) -> str:
    """A page with its links as they are in the site. What is not in the site is only named."""
    here, there = posixpath.dirname(page), posixpath.dirname(str(_place(page)))

    def other(link: re.Match[str]) -> str:
        said, path, anchor = link["said"], link["path"], link["anchor"] or ""
        if "://" in path or not path:
            return link[0]
        found = _place(target := posixpath.normpath(posixpath.join(here, path)))
        return (
            f"{said} (`{target}`)"
            if found is None
            else f"[{said}]({posixpath.relpath(found, there or '.')}{anchor})"
        )

    return LINK.sub(other, text)


def _notebook(page: str) -> dict[str, Any]:
    """A page as Jupyter has it: blocks of Python are cells, and so is what is between them."""
    cells = []
    for number, text in enumerate(re.split(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)):
        lines = text.strip().splitlines(keepends=True)
        if number % 2:
            code = {"cell_type": "code", "execution_count": None, "outputs": []}
            cells.append({**code, "metadata": {}, "source": lines})
        elif lines:
            cells.append({"cell_type": "markdown", "metadata": {}, "source": lines})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": {"kernelspec": kernel}, "cells": cells}


def _contents(source: Path) -> str:
    """What is on the left of every page: all pages there are, by folder."""

    def of(folder: str) -> list[str]:
        return sorted(
            path.relative_to(source).with_suffix("").as_posix() for path in source.glob(f"{folder}*.md")
        )

    first = ["tutorial"]
    parts = {
        "Start": first,
        "How to": of("how-to/"),
        "Notebooks": of("notebooks/"),
        "Guide": [*(set(of("")) - {"index", "recipes", *first}), "comparison/README"],
        "Reference": ["recipes", *of("reference/")],
        "Project": of("project/"),
    }
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(sorted(pages)) + "\n```\n"
        for title, pages in parts.items()
        if pages
    )


if __name__ == "__main__":
    main()
