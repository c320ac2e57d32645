"""`stat` of BSD as scripts use it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mac.commands.stat import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "a file"
    made.write_text("abc")
    made.chmod(0o640)
    os.utime(made, (1000, 2000))
    return made


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("%Lp", "640"),
        ("%OLp", "640"),
        ("%p", "100640"),
        ("%z", "3"),
        ("%m", "2000"),
        ("%Sp", "-rw-r-----"),
        ("%HT", "Regular File"),
    ],
)
def test_formats(file: Path, capsys: pytest.CaptureFixture[str], template: str, printed: str) -> None:
    assert main(["-f", template, str(file)]) == 0
    assert capsys.readouterr().out == printed + "\n"


def test_a_link_is_not_followed_unless_asked(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to(file)
    assert main(["-f", "%HT %Y", str(tmp_path / "link")]) == 0
    assert main(["-L", "-f", "%HT", str(tmp_path / "link")]) == 0
    assert capsys.readouterr().out.splitlines() == [f"Symbolic Link {file}", "Regular File"]


def test_the_option_of_gnu_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "%a", str(file)]) == 1
    assert "illegal option -- c" in capsys.readouterr().err


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-f", "%z", "/nonexistent"]) == 1
    assert capsys.readouterr().err == "stat: /nonexistent: stat: No such file or directory\n"
