"""The Python blocks of pages that say so run, in order, as one program for each page, on a database of its own.

A page asks for it with the line ``<!-- The Python blocks of this page run as a test. -->``. Blocks that start with
```` ```python ```` run; what must not (a fragment, another program) starts with something else, such as ```` ```py ````.
Blocks may await at the top, as in ``python -m asyncio``, and assert what they promise. What a page leaves open is closed
here, and the environment is as before.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from headrace import Headrace

if TYPE_CHECKING:
    from types import CodeType

DOCS = Path(__file__).parents[2] / "docs"
MARKER = "<!-- The Python blocks of this page run as a test. -->"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = sorted(page for page in DOCS.glob("*.md") if MARKER in page.read_text(encoding="utf-8").splitlines())


@dataclass(frozen=True)
class Block:
    """One block of a page, and the line that it starts at."""

    page: Path
    line: int
    text: str

    def compile(self) -> CodeType:
        """The code, which knows its place in the page: tracebacks show it."""
        padded = "\n" * (self.line - 1) + self.text
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: CodeType = compile(padded, str(self.page), "exec", flags, dont_inherit=True)
        return code


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks that run."""
    text = page.read_text(encoding="utf-8")
    return [Block(page, text.count("\n", 0, found.start(1)) + 1, found[1]) for found in BLOCK.finditer(text)]


async def run(blocks: list[Block], module: ModuleType) -> None:
    """Run blocks one after the other in one module."""
    for block in blocks:
        done = eval(block.compile(), vars(module))
        if inspect.isawaitable(done):
            await done


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_page_s_examples_run(page: Path, database: str) -> None:
    """What users copy works, and does what the page says."""
    module = ModuleType(f"docs_{page.stem}")
    with mock.patch.dict(os.environ, HEADRACE_URL=database), mock.patch.dict(sys.modules, {module.__name__: module}):
        try:
            await run(blocks_of(page), module)
        finally:
            for app in [value for value in vars(module).values() if isinstance(value, Headrace)]:
                await app.close()


def test_there_are_pages_to_run() -> None:
    """A marker that is misspelt everywhere would pass unnoticed, and so would one on a page without examples."""
    assert PAGES
    for page in PAGES:
        assert blocks_of(page), page


async def test_the_runner(tmp_path: Path) -> None:
    """Blocks share names and may await; an error shows the line of the page; other languages do not run."""
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```python\nimport asyncio\nx = 1\n```\n\n```sh\nfalse\n```\n\n"
        "```python\nawait asyncio.sleep(0)\nassert x == 2\n```\n"
    )
    with pytest.raises(AssertionError) as failed:
        await run(blocks_of(page), ModuleType("page"))
    assert (failed.traceback[-1].path, failed.traceback[-1].lineno + 1) == (page, 14)
