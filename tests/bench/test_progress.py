"""What takes long says how far it is, now and then."""

from __future__ import annotations

from bench.progress import Sparsely


def test_a_line_is_said_and_made_only_now_and_then() -> None:
    now = [100.0]
    said: list[str] = []
    made: list[int] = []
    sparsely = Sparsely(said.append, every_s=10, clock=lambda: now[0])

    def line() -> str:
        made.append(len(made))
        return f"at {now[0]:.0f}"

    for second in range(100, 135):
        now[0] = float(second)
        sparsely(line)
    assert said == ["at 110", "at 120", "at 130"]
    assert len(made) == 3
