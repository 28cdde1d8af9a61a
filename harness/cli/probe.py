"""`probe`: one measurement in a separate process; started by bench and frontier."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request", type=Path, help="JSON file with the request")
    parser.add_argument("answer", type=Path, help="JSON file to write the answer to")


def run(parsed: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from harness.errors import UserError
    from harness.measure.isolated.request import MeasurementRequest, answer
    from harness.store import write_atomically

    try:
        request = MeasurementRequest.model_validate_json(parsed.request.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise UserError(
            f"{parsed.request}: not a request ({error}). `bench` and `frontier` write such files."
        ) from error
    found = answer(request)
    write_atomically(parsed.answer, found.model_dump_json())
    return 0 if found.status == "done" else 1
