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

import reference

import atonce

HERE = Path(__file__).parent
DOCS, ROOT = HERE.parent, HERE.parents[1]
PROJECT = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""Files of the root that become pages."""
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
    schema = json.dumps(atonce.Recipe.model_json_schema(), indent=1)
    (source / "extra/recipe.schema.json").write_text(schema, encoding="utf-8")  # for editors of TOML
    index = source / "index.md"
    index.write_text(index.read_text(encoding="utf-8") + _contents(source), encoding="utf-8")
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
