"""What README and documentation say of the program is so, and pages that are written from it are up to date."""

import re
import subprocess
import sys

import make_commands
import pytest
import typer.main
from code_blocks import ROOT, blocks, command_lines, pages

from masktools.cli.app import COMMANDS, app

README = (ROOT / "README.md").read_text("utf-8")
GENERATED = ("api.md", "commands.md")

OPTIONS_OF_OTHERS = {
    "--memory-limit", "--nthreads", "--nworkers",  # dask worker
    "--nproc-per-node",  # torchrun
    "--install-completion",  # Typer's
}  # fmt: skip
"""Options on pages that belong to other programs."""


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]", text))


def options_of(parser):
    return {name for each in parser.params for name in (*each.opts, *each.secondary_opts) if name.startswith("--")}


def known():
    parser = typer.main.get_command(app)
    return {"--help"}.union(*map(options_of, (parser, *parser.commands.values())))


def own_programs():
    """Options of our own scripts, which pages call by their path."""
    sources = [path.read_text("utf-8") for name in ("analyses", "benchmarks") for path in (ROOT / name).glob("*.py")]
    return {name for source in sources for name in re.findall(r'"(--[a-z][a-z0-9-]*)"', source)}


def test_the_readme_lists_every_command_and_no_other():
    listed = re.findall(r"^\| `masktools (\w+)", README, re.MULTILINE)
    assert listed == [command.name for command in COMMANDS]


def test_the_readme_links_every_page():
    linked = set(re.findall(r"\]\(docs/(\w+\.\w+)\)", README))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == set()


def test_the_reference_of_commands_is_what_the_program_says():
    written = make_commands.PAGE.read_text("utf-8")
    assert written == make_commands.page(), "docs/commands.md is out of date: run make api"


def test_every_option_of_every_command_is_in_the_reference():
    text = make_commands.page()
    commands = typer.main.get_command(app).commands
    assert set(make_commands.GUIDES) == set(commands)
    for name, parser in commands.items():
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        told = {option for line in re.findall(r"^- `([^`]+)`", section, re.MULTILINE) for option in options(line)}
        assert told == options_of(parser) - {"--help"}


def test_every_command_has_a_guide_that_leads_to_its_options():
    for command, guide in make_commands.GUIDES.items():
        text = (ROOT / "docs" / f"{guide}.md").read_text("utf-8")
        assert f"(commands.md#{command})" in text, f"docs/{guide}.md has no link to commands.md#{command}"


@pytest.mark.parametrize("page", [page for page in pages() if page.name not in GENERATED], ids=lambda page: page.name)
def test_every_option_on_a_page_is_one_of_a_program(page):
    text = page.read_text("utf-8")
    inline = re.findall(
        r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
    )
    commands = typer.main.get_command(app).commands
    for code in inline:
        name, _, rest = code.removeprefix("masktools ").partition(" ")
        if name in commands:
            assert options(rest) - options_of(commands[name]) - {"--help", "--debug"} == set(), code
    told = {option for code in inline for option in options(code)}
    for block in blocks(page):
        if block.language in ("bash", "console"):
            told |= {option for line in command_lines(block.code) for option in options(line)}
    assert told - known() - own_programs() - OPTIONS_OF_OTHERS == set()


def test_a_command_in_a_block_has_the_options_that_are_given_to_it():
    """Those that are run prove it, the others are here: each option belongs to that command, not to another one."""
    commands = typer.main.get_command(app).commands
    lines = [
        line.removeprefix("$ ")
        for page in pages()
        for block in blocks(page)
        if block.language in ("bash", "console")
        for line in command_lines(block.code)
    ]
    calls = [match for line in lines if (match := re.match(r"masktools (\w+) (.*?)(?: #.*)?$", line))]
    assert len(calls) > 50
    for call in calls:
        assert options(call[2]) - options_of(commands[call[1]]) - {"--help", "--debug"} == set(), call[0]


@pytest.mark.slow
def test_the_demo_answers_every_question(tmp_path):
    command = [
        sys.executable,
        ROOT / "analyses" / "demo.py",
        "--out",
        "demo",
        "--seeds",
        "2",
        "--epochs",
        "3",  # an epoch more than lottery tickets rewind to
        "--jobs",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "same mask, new weights",
        "shuffled, new weights",
        "mask in place",
        "on a path",
        "pruned to",
        "kappa",
    ):
        (line,) = [
            line
            for line in done.stdout.split("\n")
            if line.strip().startswith((words, "weights " + words, "half lost if " + words)) and ":" not in line
        ]
        assert len(re.findall(r"\d", line)) >= 4
    assert "The runs are in demo/" in done.stdout
    assert max(map(len, done.stdout.split("\n"))) <= 120
