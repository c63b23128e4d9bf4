"""Run the program in this process and look at all it says."""

import pytest

from masktools.cli.app import main


@pytest.fixture
def output(capsys):
    """Return a function that runs the program and returns what it printed, which must be all it said."""

    def call(*arguments, status=0):
        found = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert (found, captured.err) == (status, "")
        return captured.out

    return call


@pytest.fixture
def failure(capsys):
    """Return a function that runs the program, sees it fail with one line, and returns that line."""

    def call(*arguments):
        assert main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("masktools: error: ")
        return captured.err

    return call
