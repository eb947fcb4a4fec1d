"""What `scripts/chaos` can be asked for."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import asked


@pytest.mark.parametrize(
    "wrong", [["--minutes", "0"], ["--minutes", "-1"], ["--minutes", "nan"], ["--pause", "-1"]]
)
def test_a_run_without_faults_proves_nothing_and_is_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        asked(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_help_says_what_is_done_without_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        asked(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert [f"default: {value}" in said for value in ("2", "sqlite", "0.2")] == [True] * 3
    assert vars(asked([])) == {"seed": None, "minutes": 2.0, "database": "sqlite", "pause": 0.2}
