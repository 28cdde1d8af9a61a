"""Places of the tokens of a clip; masks, influences and oracles are written in these coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from harness.nn.tokens import ClassToken

NOWHERE = -1


class TokenPlace(NamedTuple):
    """A token and its place in the clip; `frame`, `row` and `column` are -1 where it has none."""

    kind: Literal["class token", "patch", "register"]
    frame: int = NOWHERE
    row: int = NOWHERE
    column: int = NOWHERE
    #: of a register, from 0
    number: int = 0

    def __str__(self) -> str:
        if self.kind == "register":
            return f"register {self.number}"
        name = f"patch (row {self.row}, column {self.column})" if self.kind == "patch" else self.kind
        return f"{name} of the clip" if self.frame == NOWHERE else f"{name} of frame {self.frame}"


@dataclass(frozen=True)
class Layout:
    """The row of all tokens of a clip, in the order of `to_sequence`: class tokens, patches (t h w), registers.

    Masks are bool (n, n): [i, j] is True where token i sees, or depends on, token j.
    """

    num_frames: int
    height: int
    width: int
    class_token: ClassToken
    num_registers: int = 0

    @property
    def num_class(self) -> int:
        """Return the number of class tokens of the clip."""
        return {"none": 0, "clip": 1, "frame": self.num_frames}[self.class_token]

    @property
    def num_patches(self) -> int:
        """Return the number of patches of the clip, T * S."""
        return self.num_frames * self.height * self.width

    @property
    def num_tokens(self) -> int:
        """Return the length n of the row."""
        return self.num_class + self.num_patches + self.num_registers

    def _row(self, of_class: Tensor, of_patches: Tensor) -> Tensor:
        nowhere = torch.full((self.num_registers,), NOWHERE)
        return torch.cat([of_class, of_patches.flatten(), nowhere])

    def _grid(self) -> tuple[Tensor, Tensor, Tensor]:
        axes = (torch.arange(self.num_frames), torch.arange(self.height), torch.arange(self.width))
        t, h, w = torch.meshgrid(*axes, indexing="ij")
        return t, h, w

    @property
    def frame(self) -> Tensor:
        """Return the frame of each token (n,); -1 for the clip's class token and registers, which belong to none."""
        of_class = torch.arange(self.num_frames) if self.class_token == "frame" else torch.full((self.num_class,), -1)
        return self._row(of_class, self._grid()[0])

    @property
    def slot(self) -> Tensor:
        """Return the place of each token within its frame (n,): -2 its class token, h * W + w a patch, else -1."""
        of_class = torch.full((self.num_class,), -2 if self.class_token == "frame" else NOWHERE)
        _, h, w = self._grid()
        return self._row(of_class, h * self.width + w)

    @property
    def row(self) -> Tensor:
        """Return the patch row of each token (n,); -1 for tokens that are no patch."""
        return self._row(torch.full((self.num_class,), NOWHERE), self._grid()[1])

    @property
    def column(self) -> Tensor:
        """Return the patch column of each token (n,); -1 for tokens that are no patch."""
        return self._row(torch.full((self.num_class,), NOWHERE), self._grid()[2])

    @property
    def is_patch(self) -> Tensor:
        """Return bool (n,): True for patches."""
        return self.row >= 0

    @property
    def is_register(self) -> Tensor:
        """Return bool (n,): True for registers."""
        return torch.arange(self.num_tokens) >= self.num_tokens - self.num_registers

    def no_pairs(self) -> Tensor:
        """Return the empty mask."""
        return torch.zeros(self.num_tokens, self.num_tokens, dtype=torch.bool)

    def itself(self) -> Tensor:
        """Return the mask in which each token sees itself."""
        return torch.eye(self.num_tokens, dtype=torch.bool)

    def all_pairs(self) -> Tensor:
        """Return the mask in which every token sees every token."""
        return ~self.no_pairs()

    def by_frame(self, seen: Tensor) -> Tensor:
        """Return the mask in which tokens of frame t see those of the frames t' with seen[t, t'], bool (T, T)."""
        frame = self.frame
        inside = (frame[:, None] >= 0) & (frame[None, :] >= 0)
        return seen[frame.clamp(min=0)[:, None], frame.clamp(min=0)[None, :]] & inside

    def same_frame(self) -> Tensor:
        """Return the mask in which tokens of one frame see each other."""
        return self.by_frame(torch.eye(self.num_frames, dtype=torch.bool))

    def same_place(self) -> Tensor:
        """Return the mask in which patches at one (row, column) see each other over time."""
        patch = self.is_patch
        equal = (self.row[:, None] == self.row[None]) & (self.column[:, None] == self.column[None])
        return equal & patch[:, None] & patch[None]

    def frame_steps(self) -> Tensor:
        """Return t' - t for all frames t and t' (T, T); a mask of it goes through `by_frame`."""
        frame = torch.arange(self.num_frames)
        return frame[None, :] - frame[:, None]

    def on_grid(self, stride: int) -> Tensor:
        """Return bool (n,): every stride-th frame, row and column of patches, and the tokens that are no patch."""
        grid = (self.frame % stride == 0) & (self.row % stride == 0) & (self.column % stride == 0)
        return grid | ~self.is_patch

    def nearby(self, rows: int, columns: int) -> Tensor:
        """Return the mask in which patches see those of all frames at most that many rows and columns away."""
        near = self.is_patch[:, None] & self.is_patch[None]
        for place, reach in ((self.row, rows), (self.column, columns)):
            near = near & ((place[:, None] - place[None]).abs() <= reach)
        return near

    def with_global(self, mask: Tensor, tokens: Tensor) -> Tensor:
        """Add to a mask: `tokens`, bool (n,), see all tokens and are seen by all."""
        return mask | tokens[None, :] | tokens[:, None]

    def with_registers(self, mask: Tensor) -> Tensor:
        """Add to a mask: registers see all tokens and are seen by all."""
        return self.with_global(mask, self.is_register)

    def with_summaries(self, mask: Tensor, num_summaries: int = 1) -> Tensor:
        """Add to a mask: tokens of a frame depend on the patches of all frames, if there are summaries of them."""
        return mask | ((self.frame >= 0)[:, None] & self.is_patch[None, :]) if num_summaries else mask

    def through(self, *steps: Tensor) -> Tensor:
        """Return the influence of steps after each other with a residual around each; each bool (n, n)."""
        total = self.itself()
        for step in steps:
            total = then(total, step | self.itself())
        return total

    def tokens(self) -> list[TokenPlace]:
        """Return kind and place of each token of the row."""
        places = zip(self.frame.tolist(), self.row.tolist(), self.column.tolist(), strict=True)
        first_patch, first_register = self.num_class, self.num_class + self.num_patches
        return [
            TokenPlace("register", number=i - first_register) if i >= first_register
            else TokenPlace("patch" if i >= first_patch else "class token", *place)
            for i, place in enumerate(places)
        ]  # fmt: skip

    def places(self) -> dict[tuple[int, int], int]:
        """Return (frame, slot) -> number of the token in the row, for the tokens that belong to a frame."""
        pairs = zip(self.frame.tolist(), self.slot.tolist(), strict=True)
        return {pair: token for token, pair in enumerate(pairs) if pair[0] >= 0}


def then(first: Tensor, second: Tensor) -> Tensor:
    """Return the influence of two steps after each other: i depends on j if some k lies between. Both bool (n, n)."""
    return (second.double() @ first.double()) > 0
