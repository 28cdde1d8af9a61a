"""Controls a search: hands trials to a launcher, reads their results, reports them to the studies.

All state is restored from files: the journal stores the proposals, and the folder of a trial stores its result.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError
from harness.launch.snapshot import Snapshot
from harness.launch.tasks import State, Todo, TrialTask, prepare, state_of, task_of
from harness.record import OPEN_STATUSES, Record
from harness.store import Store, TrialFolder
from harness.sweep.plan import Plan, PlannedTrial
from harness.sweep.tune.plan import planned_trial
from harness.sweep.tune.space import Tuning
from harness.tune import summary
from harness.tune.journal import open_journal
from harness.tune.objective import excess_of, label_of, values_of
from harness.tune.study import MAX_STARTS, Proposal, Study
from harness.worker import pruning

MAX_REFUSED = 200  # consecutive proposals that cannot be built
SUMMARY_EVERY_SECONDS = 1.0  # minimum interval: each summary lists all trials
REPORTS_EVERY_SECONDS = 0.5  # interval between reads of the reports of running trials


@dataclass
class PendingTrial:
    """A running trial and the proposals that wait for it, each as (study, number)."""

    folder: TrialFolder
    waiting: list[tuple[Study, int]]
    num_reports: int = 0
    num_open_ends: int = 0


class Controller:
    """A source of tuning trials (see `harness.launch.source.Source`)."""

    def __init__(self, plan: Plan, tuning: Tuning, run_folder: Path, store: Store, code: Snapshot):
        self.plan, self.tuning, self.config = plan, tuning, tuning.config
        self.store, self.code = store, code
        store.path.mkdir(parents=True, exist_ok=True)
        storage, self.journal = open_journal(run_folder)
        labels = {row.row_id: row.label for row in plan.rows}
        self.studies = [
            Study(storage, space, labels[row_id], self.config, tuning.train_seed)
            for row_id, space in tuning.spaces.items()
        ]
        self.pending: dict[str, PendingTrial] = {}
        self.ready: deque[TrialTask] = deque()
        self.error: UserError | None = None
        self._next_read = self._next_summary = 0.0
        self._is_summary_due = False
        for study in self.studies:
            for proposal in study.running():  # left by a controller that was killed
                self._begin(study, proposal, is_new=False)
        self.write_summary()

    @property
    def through(self) -> bool:
        """True if the budget of every row is used up, or the search has failed."""
        return self.error is not None or all(study.num_counted >= self.config.num_trials for study in self.studies)

    def next(self) -> TrialTask | None:
        """Returns the next task: a waiting one (to measure, to resume or to retry), else a new proposal."""
        while self.error is None:
            if self.ready:
                return self.ready.popleft()
            if self.config.parallel is not None and len(self.pending) >= self.config.parallel:
                return None
            open_studies = [study for study in self.studies if study.num_claimed < self.config.num_trials]
            if not open_studies:
                return None
            study = min(open_studies, key=lambda study: study.num_claimed)
            if self._can_continue(study):
                self._begin(study, study.ask(), is_new=True)
        return None

    def ended(self, task: TrialTask) -> None:
        """Reports the result of a trial to its studies, or queues its next stage."""
        record, trial_id = task.folder.sound_record(), task.trial.trial_id
        self._forward_reports(trial_id)
        self._report_outcome(trial_id)
        if trial_id not in self.pending:
            return
        if record is not None and task.stage == "train":
            self.ready.append(self._task(task.trial, task.folder))
        else:
            self._retry(task)

    def _retry(self, task: TrialTask) -> None:
        """Queues again a trial without a final status (preempted or not started); gives up after MAX_STARTS ends."""
        pending = self.pending[task.trial.trial_id]
        pending.num_open_ends += 1
        if pending.num_open_ends < MAX_STARTS:
            self.ready.append(task)
            return
        del self.pending[task.trial.trial_id]
        state = self._state(task.folder)
        for study, number in pending.waiting:
            study.mark_failed(number, "failed", f"{state.status} {MAX_STARTS} times: {state.message}")

    def tick(self) -> None:
        """Forwards reports of running trials to their studies; stops the trials that the pruner rejects."""
        self._summarize()
        if self.config.pruner != "none" and time.monotonic() >= self._next_read:
            self._next_read = time.monotonic() + REPORTS_EVERY_SECONDS
            for trial_id in list(self.pending):
                if self._forward_reports(trial_id):
                    pruning.ask_to_end(self.pending[trial_id].folder)

    def _summarize(self, *, changed: bool = False) -> None:
        """Writes the summary if something changed and the interval has passed."""
        self._is_summary_due |= changed
        if self._is_summary_due and time.monotonic() >= self._next_summary:
            self.write_summary()

    def write_summary(self) -> None:
        """Writes the trials so far, for reports and `status`."""
        self._is_summary_due, self._next_summary = False, time.monotonic() + SUMMARY_EVERY_SECONDS
        summary.write(self.store, self.plan, self.tuning, self.studies, self.journal)

    def _can_continue(self, study: Study) -> bool:
        """Returns True if a study can continue; sets `error` if it would never end."""
        failures = study.failures()
        if study.refused_in_a_row() >= MAX_REFUSED:
            why = study.trials()[-1].user_attrs["message"]
            what = f"{MAX_REFUSED} consecutive proposals cannot be built; the last one: {why}"
        elif len(failures) > (self.config.max_failures or self.config.num_trials):
            what = (
                f"{len(failures)} trials failed (tune.max_failures); the last one: {failures[-1].user_attrs['message']}"
            )
        else:
            return True
        self.error = UserError(f"tune, row {study.label}: {what}. Narrow tune.space, then run the sweep again.")
        return False

    def _begin(self, study: Study, proposal: Proposal, *, is_new: bool) -> None:
        """Creates the task of a proposal, unless it cannot be built, already runs or has a known result."""
        row = self.tuning.resolve(study.row_id, proposal.values)
        if isinstance(row, str):
            study.mark_failed(proposal.number, "refused", row)
            return
        trial = planned_trial(row, self.tuning.train_seed, f"{study.label} #{proposal.number}")
        study.note(proposal.number, trial.trial_id)
        known = self.pending.setdefault(trial.trial_id, PendingTrial(self.store.trial(trial.trial_id), []))
        known.waiting.append((study, proposal.number))
        if is_new and known.folder.written_status().status == "pruned" and not study.has_pruned(trial.trial_id):
            pruning.withdraw(known.folder)  # another study pruned it, compared with other trials
        if len(known.waiting) == 1:
            self._start_or_report(trial, known.folder)

    def _start_or_report(self, trial: PlannedTrial, folder: TrialFolder) -> None:
        state = self._state(folder).status
        killed = state in ("killed", "lost")  # proposed again: resumes from its checkpoint
        if self._is_complete(folder.sound_record()) or (state not in OPEN_STATUSES and not killed):
            self._forward_reports(trial.trial_id)
            self._report_outcome(trial.trial_id)
            return
        if killed:
            folder.requeue()
        task = self._task(trial, folder)
        prepare(Todo([task]), self.plan, self.code)
        self.ready.append(task)
        self._summarize(changed=True)

    def _task(self, trial: PlannedTrial, folder: TrialFolder) -> TrialTask:
        """Returns the task of a trial's next stage; a search needs validation scores, and timings on request."""
        options = {
            "splits": ["val"],
            "timed": self.config.needs_timings,
            "report_every_steps": self._report_every,
        }
        return replace(task_of(trial, folder), options=options)

    @property
    def _report_every(self) -> int | None:
        return None if self.config.pruner == "none" else self.config.report_every_steps

    def _state(self, folder: TrialFolder) -> State:
        """Returns the state of a trial; if the search needs timings, it is done only after the measuring stage."""
        state = state_of(folder)
        if state.status == "done" and not self._is_complete(folder.sound_record()):
            return State("queued", "to be measured")
        return state

    def _is_complete(self, record: Record | None) -> bool:
        return record is not None and (record.costs.timings is not None or not self.config.needs_timings)

    def _forward_reports(self, trial_id: str) -> bool:
        """Forwards new reports of a trial to its studies; returns True if the pruner of a study rejects it."""
        pending, stop = self.pending[trial_id], False
        reports = pruning.read_reports(pending.folder) if self._report_every else []
        for step, accuracies in reports[pending.num_reports :]:
            value = accuracies[label_of(accuracies, self.config.label)]
            verdicts = [study.report(number, step, value) for study, number in pending.waiting]
            stop = stop or any(verdicts)
        pending.num_reports = len(reports)
        return stop

    def _report_outcome(self, trial_id: str) -> None:
        """Reports the result of a trial to every waiting proposal; a trial that can resume stays pending."""
        pending = self.pending[trial_id]
        record, state = pending.folder.sound_record(), self._state(pending.folder)
        if not self._is_complete(record) and state.status in OPEN_STATUSES and state.status != "lost":
            return
        del self.pending[trial_id]
        for study, number in pending.waiting:
            if record is not None and self._is_complete(record):
                study.mark_complete(number, values_of(record, self.config), excess_of(record, self.config))
            elif state.status == "pruned":
                study.mark_pruned(number)
            else:
                ended = "lost" if state.status in ("killed", "lost") else "failed"
                study.mark_failed(number, ended, f"{state.status}: {state.message}")
            print(summary.line(study, number, self.config), flush=True)
        self._summarize(changed=True)
