"""The code on every page runs, and prints what the page says."""

import doctest
import json
import re
import shlex

import pytest
import torch
import typer.main
from code_blocks import LANGUAGES, ROOT, blocks, command_lines, pages
from doc_examples import (
    ADDED,
    BEFORE_PYTHON,
    ELSEWHERE,
    GIVEN,
    NOT_RUN,
    ONLY_PARSED,
    PACKAGES_OF_OTHERS,
    copy_runs,
    shared_folder,
    shortened,
    small_model,
)
from make_outputs import archived_runs, renewed

from masktools.cli.app import app, main

PAGES = {str(page.relative_to(ROOT)): page for page in pages()}
PARSERS = typer.main.get_command(app).commands


def having(language):
    return [page for page, path in PAGES.items() if any(block.language == language for block in blocks(path))]


@pytest.fixture
def folder(page, tmp_path, tmp_path_factory, monkeypatch, short_walk, capsys):
    """Be in a folder that has the runs and checkpoints that the page names."""
    copy_runs(shared_folder(tmp_path_factory), tmp_path, PAGES[page].read_text("utf-8"))
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_says_what_it_is():
    found = [block for path in PAGES.values() for block in blocks(path)]
    assert len(found) > 50
    assert [f"{block}: {block.language!r}" for block in found if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("page", having("console"))
def test_what_commands_print_is_what_the_page_shows(page):
    text = PAGES[page].read_text("utf-8")
    with archived_runs():
        assert text == renewed(text), f"{page} shows old outputs: run make api"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in having("bash") if page not in ELSEWHERE])
def test_the_commands_of_the_page_run(page, folder, capsys):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    for block in blocks(PAGES[page]):
        for line in command_lines(block.code) if block.language == "bash" else []:
            command = shlex.join(shlex.split(line, comments=True))
            if any(re.search(pattern, command) for pattern in NOT_RUN):
                assert not command.startswith("make ") or command.split()[1] in targets
                continue
            assert command.startswith("masktools "), f"{block}: {line}: neither run nor listed in NOT_RUN"
            name, *words = shlex.split(shortened(line), comments=True)[1:]
            if any(re.search(pattern, command) for pattern in ONLY_PARSED):
                PARSERS[name].make_context(name, list(words))
                continue
            status = main([name, *words, *ADDED.get(name, [])])
            assert status == 0, f"{block}: {line}: {capsys.readouterr().err}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in having("python") if page not in ELSEWHERE])
def test_the_python_of_the_page_runs(page, folder, capsys):
    names = {"__name__": "__main__", "torch": torch, "small_model": small_model}
    for command in BEFORE_PYTHON.get(page, ()):
        assert main(shlex.split(command)) == 0
    exec(GIVEN.get(page, ""), names)
    for block in blocks(PAGES[page]):
        if block.language != "python" or any(module in block.code for module in PACKAGES_OF_OTHERS):
            continue
        if ">>>" in block.code:
            examples = doctest.DocTestParser().get_doctest(block.code, names, page, page, block.line)
            assert doctest.DocTestRunner().run(examples, clear_globs=False).failed == 0
            names.update(examples.globs)
        else:
            exec(compile("\n" * block.line + block.code, page, "exec"), names)


@pytest.mark.parametrize("page", having("toml"))
def test_the_recipes_of_the_page_are_accepted(page, tmp_path, capsys):
    for block in blocks(PAGES[page]):
        if block.language == "toml":
            recipe = tmp_path / "recipe.toml"
            recipe.write_text(block.code, "utf-8")
            assert main(["train", str(recipe), "--dry-run"]) == 0, f"{block}: {capsys.readouterr().err}"


def test_samples_of_results_are_json():
    for page in having("json"):
        for block in blocks(PAGES[page]):
            if block.language == "json":
                json.loads(block.code)
