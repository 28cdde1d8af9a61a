"""The only place that turns numbers with units into text."""

from __future__ import annotations


def _significant(value: float, digits: int = 3) -> str:
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text else text


def macs(count: float | None) -> str:
    """Multiply-accumulates as text: 421_700_000_000 -> '422 GMACs'."""
    if count is None:
        return "-"
    for unit, size in (("TMACs", 1e12), ("GMACs", 1e9), ("MMACs", 1e6), ("kMACs", 1e3)):
        if abs(count) >= size:
            return f"{_significant(count / size)} {unit}"
    return f"{count:.0f} MACs"


def count(number: float | None) -> str:
    """A plain count as text: 121_600_000 -> '122 M'."""
    if number is None:
        return "-"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{_significant(number / size)} {unit}"
    return f"{number:.0f}"


def counted(number: int, noun: str) -> str:
    """A number of things as text: (1, 'trial') -> '1 trial', (3, 'trial') -> '3 trials'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def num_bytes(size: float | None) -> str:
    """A number of bytes as text in binary units: 1_572_864 -> '1.5 MiB'."""
    if size is None:
        return "-"
    for unit, step in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(size) >= step:
            return f"{_significant(size / step)} {unit}"
    return f"{size:.0f} B"


def milliseconds(value: float | None) -> str:
    """A time given in milliseconds as text: 1234.5 -> '1.23 s'."""
    if value is None:
        return "-"
    return f"{_significant(value / 1e3)} s" if value >= 1e3 else f"{_significant(value)} ms"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as text: 0.834 -> '83.4 %'."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """A span of seconds as text: 75 -> '1:15', 3675 -> '1:01:15'."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
