"""What holds for all tests: what they prove of variants stays in a folder of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.proofs import FOLDER


@pytest.fixture(autouse=True, scope="session")
def _own_proofs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sub-processes inherit the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(tmp_path_factory.mktemp("proofs")))
        yield
