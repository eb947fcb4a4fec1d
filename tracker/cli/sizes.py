"""Sizes, as people read them."""

from __future__ import annotations

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def in_words(size: float) -> str:
    """A number of bytes with two or three digits and its unit: 512 bytes, 4.2 MiB, 118 MiB."""
    rest, unit = float(size), 0
    while rest >= 1024 and unit < len(_UNITS) - 1:
        rest, unit = rest / 1024, unit + 1
    return f"{rest:.1f} {_UNITS[unit]}" if unit and rest < 100 else f"{rest:.0f} {_UNITS[unit]}"
