"""Rewrites the proofs of the shipped variants: `python -m harness.contract.shipped`.

Run it after a change of `variants/` or of `harness.proofs.FOUNDATION`: it checks every variant that this may break.
"""

from __future__ import annotations

from pathlib import Path

from harness import contract
from harness.proofs import proof_hash, shipped_hashes
from harness.registry import OUR_VARIANTS

HEAD = '"""Shipped variants that pass the contract: name -> `proof_hash`; see `harness.contract.shipped`."""\n'


def shipped_files() -> dict[str, Path]:
    """Return name -> file of every variant that comes with the harness."""
    return {path.stem: path for path in sorted(OUR_VARIANTS.glob("*.py")) if not path.stem.startswith("_")}


def written(proofs: dict[str, str]) -> str:
    """Return the text of `harness/proofs/shipped_hashes.py`."""
    lines = [f'    "{name}": "{digest}",\n' for name, digest in sorted(proofs.items())]
    return f"{HEAD}\nPROOFS: dict[str, str] = {{\n{''.join(lines)}}}\n"


def main() -> int:
    """Check each shipped file whose hash is not the noted one, and note those that pass; return 1 if one fails."""
    proofs, broken = {}, []
    for name, file in shipped_files().items():
        digest = proof_hash(file)
        if shipped_hashes.PROOFS.get(name) != digest and not _passes(name):
            broken.append(name)
            continue
        proofs[name] = digest
    Path(str(shipped_hashes.__file__)).write_text(written(proofs), encoding="utf-8")
    print(f"{len(proofs)} shipped variants are proven")
    print(f"broken: {', '.join(broken)}" if broken else "none is broken")
    return 1 if broken else 0


def _passes(name: str) -> bool:
    failures = [text for outcome in contract.run(name) for text in outcome.failures]
    print(f"{name}: {'ok' if not failures else failures[0]}", flush=True)
    return not failures


if __name__ == "__main__":
    raise SystemExit(main())
