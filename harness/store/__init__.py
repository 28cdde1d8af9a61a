"""The files of a run: a folder with one folder for each trial. There is no other state.

Every file has one writer at a time and is replaced atomically, so a reader sees the old or the new content and never
a part. The worker of a trial holds the trial's lease while it is alive, see `lease`.
"""

from harness.store.files import exclusive_lock, side_by_side, write_atomically, written_aside
from harness.store.lease import Lease
from harness.store.run import TUNING, Store, parts_of
from harness.store.status import TrialStatus
from harness.store.trial import TrialFolder, previous_checkpoint

__all__ = [
    "TUNING", "Lease", "Store", "TrialFolder", "TrialStatus", "exclusive_lock", "parts_of",
    "previous_checkpoint", "side_by_side", "write_atomically", "written_aside",
]  # fmt: skip
