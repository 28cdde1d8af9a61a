"""Numbers with units as text; nothing else formats them."""

from __future__ import annotations


def _significant(value: float, digits: int = 3) -> str:
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text else text


#: unit -> (name, size) of its multiples, largest first; the last one is the unit itself
SCALES: dict[str, tuple[tuple[str, float], ...]] = {
    "MACs": (("TMACs", 1e12), ("GMACs", 1e9), ("MMACs", 1e6), ("kMACs", 1e3), ("MACs", 1.0)),
    "bytes": (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10), ("B", 1.0)),
    "ms": (("s", 1e3), ("ms", 1.0)),
}


def text(value: float | None, unit: str) -> str:
    """Write a value by its unit; a unit without multiples is left to the header: (0.25, 'J') -> '0.25'."""
    known = {"MACs": macs, "bytes": num_bytes, "ms": milliseconds, "fraction": percent, "": count}
    if unit in known:
        return known[unit](value)
    return "-" if value is None else count(value) if abs(value) >= 1000 else f"{value:.3g}"


def axis_unit(unit: str, largest: float) -> tuple[str, float]:
    """Return the unit of an axis up to `largest` and its size: ('MACs', 4e10) -> ('GMACs', 1e9)."""
    if unit == "fraction":
        return "%", 0.01
    scale = SCALES.get(unit, ((unit, 1.0),))
    return next((item for item in scale if abs(largest) >= item[1]), scale[-1])


def _scaled(value: float, unit: str) -> str:
    """Write a value in the largest multiple that it reaches, without digits in the unit itself."""
    name, size = axis_unit(unit, value)
    return f"{_significant(value / size)} {name}" if size > 1 else f"{value:.0f} {name}"


def macs(count: float | None) -> str:
    """Write multiply-accumulates: 421_700_000_000 -> '422 GMACs'."""
    return "-" if count is None else _scaled(count, "MACs")


def count(number: float | None) -> str:
    """Write a plain count: 121_600_000 -> '122 M'."""
    if number is None:
        return "-"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{_significant(number / size)} {unit}"
    return f"{number:.0f}"


def counted(number: int, noun: str) -> str:
    """Write a number of things: (1, 'trial') -> '1 trial', (3, 'trial') -> '3 trials'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def num_bytes(size: float | None) -> str:
    """Write a number of bytes in binary units: 1_572_864 -> '1.5 MiB'."""
    return "-" if size is None else _scaled(size, "bytes")


def milliseconds(value: float | None) -> str:
    """Write a time given in milliseconds: 1234.5 -> '1.23 s'."""
    if value is None:
        return "-"
    return f"{_significant(value / 1e3)} s" if value >= 1e3 else f"{_significant(value)} ms"


def percent(fraction: float | None, digits: int = 1) -> str:
    """Write a fraction in percent: 0.834 -> '83.4 %'."""
    return "-" if fraction is None else f"{100 * fraction:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """Write a duration given in seconds: 75 -> '1:15', 3675 -> '1:01:15'."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
