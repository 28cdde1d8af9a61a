"""Bad sweep files, one fault each: name -> (text, line:column, part of the message). Faults of fields and values."""

from __future__ import annotations

from bad_text import HEAD

CASES: dict[str, tuple[str | bytes, str, str]] = {
    # top-level fields
    "no question": (HEAD[12:], "1:1", "question: missing"),
    "empty question": ('question: ""\n' + HEAD[12:], "1:11", "too short"),
    "no data": ("question: q\nvariant: window\n", "1:1", "data.name: missing; data needs a name; one of"),
    "no variant": ("question: q\ndata: moving_shapes\n", "1:1", "variant.name: missing"),
    "nameless variant": ("question: q\ndata: moving_shapes\nvariant: {reach: 2}\n", "3:1", "variant.name: missing"),
    "unknown block": (HEAD + "trian: {num_steps: 1}\n", "4:1", "Did you mean train?"),
    "block as list": (HEAD + "train: [1]\n", "4:8", "expected a mapping, got a list"),
    "block as text": (HEAD + "train: adamw\n", "4:8", "expected a mapping, got text 'adamw'"),
    "no seeds": (HEAD + "seeds: 0\n", "4:8", "0 is too small; at least 1"),
    "negative seed": (HEAD + "seeds: [0, -1]\n", "4:12", "-1 is too small; at least 0"),
    "seed as text": (HEAD + "seeds: four\n", "4:8", "expected an integer or a list, got text 'four'"),
    "seed twice": (HEAD + "seeds: [1, 2, 1]\n", "4:8", "listed twice"),
    "empty seeds": (HEAD + "seeds: []\n", "4:8", "0 values are too few"),
    "launch": (HEAD + "launch: {where: moon}\n", "4:17", "'moon' is not allowed; one of local, slurm"),
    # blocks and variants
    "unknown variant": ("question: q\ndata: moving_shapes\nvariant: windw\n", "3:10", "Did you mean window?"),
    "null as a name": (HEAD + "readout: {name: null}\n", "4:17", "expected the name of a readout, got null"),
    "unknown data": ("question: q\ndata: {name: shapes}\nvariant: window\n", "2:14", "Did you mean moving_shapes?"),
    "unknown readout": (HEAD + "readout: clas_token\n", "4:10", "Did you mean class_token?"),
    "field of another readout": (HEAD + "readout: {name: class_token, norm: before}\n", "4:30", "no such field"),
    "field of another variant": (
        "question: q\ndata: moving_shapes\nvariant: {name: whole, reach: 2}\n",
        "3:24",
        "whole has no such field. Fields: name",
    ),
    "neither branch": (
        "question: q\ndata: moving_shapes\nvariant: {name: window, layers: 3}\n",
        "3:33",
        "3 is not allowed; one of all, odd",
    ),
    "inside a list": (
        "question: q\ndata: moving_shapes\nvariant: {name: window, layers: [0, -1]}\n",
        "3:37",
        "-1 is too small",
    ),
    "too long a list": (HEAD + "train: {betas: [0.9, 0.9, 0.9]}\n", "4:16", "at most 2"),
    "too short a list": (HEAD + "train: {betas: [0.9]}\n", "4:16", "at least 2"),
    # geometry
    "patches": (
        HEAD + "model: {patch_size: 5}\n",
        "4:21",
        "patches of 5 pixels do not tile a crop of 16",
    ),
    "crop": (HEAD + "model: {crop_size: 18}\n", "4:20", "crop_size=18: patches of 4 pixels do not tile a crop of 18"),
    "tubelets": (HEAD + "model: {tubelet_size: 3}\n", "4:23", "sizes that do: 1, 2, 4, 8"),
    "heads": (HEAD + "model: {num_heads: 7}\n", "4:20", "7 heads do not divide embed_dim 48"),
    "width": (HEAD + "model: {embed_dim: 50}\n", "4:20", "4 heads do not divide embed_dim 50"),
    "joint positions": (HEAD + "model: {joint_position: learned}\n", "4:25", "write spatial_position: none, temporal"),
    "sincos": (
        HEAD + "model: {embed_dim: 50, num_heads: 5, spatial_position: sincos}\n",
        "4:56",
        "multiple of 4, not 50",
    ),
    "momentum of adamw": (HEAD + "train: {momentum: 0.5}\n", "4:19", "adamw has no momentum"),
    "betas of sgd": (HEAD + "train: {optimizer: sgd, betas: [0.8, 0.9]}\n", "4:32", "sgd has no betas"),
    "nesterov without momentum": (HEAD + "train: {optimizer: sgd, momentum: 0}\n", "4:35", "nesterov needs"),
    "shares of a batch": (HEAD + "train: {batch_size: 10, num_processes: 4}\n", "4:40", "that can: 1, 2, 5, 10"),
    "window": (
        "question: q\ndata: moving_shapes\nvariant: {name: window, reach: 13}\n",
        "3:32",
        "variant.reach=13: a head has 12 channels",
    ),
    "summary": (
        "question: q\ndata: moving_shapes\nvariant: {name: window, outer_only: true}\nglobal_tokens: {summary: 2}\n",
        "4:26",
        "global_tokens.summary=2: outer_only",
    ),
    "no class token": (HEAD + "readout: class_token\n", "4:10", "window gives one class token per frame"),
    "heads of the readout": (
        HEAD + "readout: {name: temporal_attention, num_heads: 5}\n",
        "4:48",
        "5 heads do not divide embed_dim 48",
    ),
    # vary
    "vary as mapping": (HEAD + "vary: {grid: {}}\n", "4:7", "expected a list of blocks"),
    "block as number": (HEAD + "vary: [3]\n", "4:8", "expected one of grid, zip, list"),
    "empty block": (HEAD + "vary: [{}]\n", "4:8", "exactly one of grid, zip, list"),
    "two modes": (HEAD + "vary: [{grid: {a: [1]}, zip: {b: [1]}}]\n", "4:8", "grid and zip in one block"),
    "unknown mode": (HEAD + "vary:\n- gird: {a: [1]}\n", "5:3", "Did you mean grid?"),
    "axis without a list": (
        HEAD + "vary:\n- grid: {train.num_steps: 3}\n",
        "5:27",
        "got the number 3; write [3]",
    ),
    "empty axis": (HEAD + "vary:\n- grid: {train.num_steps: []}\n", "5:27", "at least one value"),
    "empty grid": (HEAD + "vary:\n- grid: {}\n", "5:9", "nothing to vary"),
    "empty list": (HEAD + "vary:\n- list: []\n", "5:9", "nothing to vary"),
    "unequal zip": (
        HEAD + "vary:\n- zip: {train.num_steps: [1, 2], train.batch_size: [1]}\n",
        "5:3",
        "train.num_steps 2, train.batch_size 1",
    ),
    "axis seed": (HEAD + "vary:\n- grid: {seed: [1]}\n", "5:10", "top-level key seeds"),
    "axis launch": (HEAD + "vary:\n- grid: {launch.where: [local]}\n", "5:10", "launch cannot vary"),
    "axis question": (HEAD + "vary:\n- grid: {question: [a]}\n", "5:10", "question: cannot vary"),
    "axis of no block": (HEAD + "vary:\n- grid: {trian.num_steps: [1]}\n", "5:10", "Did you mean train?"),
    "axis of a whole block": (HEAD + "vary:\n- grid: {model: [{depth: 1}]}\n", "5:10", "model.FIELD"),
    "axis ends in a dot": (HEAD + "vary:\n- grid: {train.: [1]}\n", "5:10", "block.field"),
    "axis misspelt": (
        HEAD + "vary:\n- grid: {variant.raech: [1]}\n",
        "5:10",
        "vary.variant.raech: window has",
    ),
    "axis into a scalar": (
        "question: q\ndata: moving_shapes\nvariant: {name: window, reach: 1}\nvary:\n- grid: {variant.reach.x: [1]}\n",
        "5:10",
        "cannot be set",
    ),
    "value of an axis": (
        HEAD + "vary:\n- grid: {variant.reach: [0, -1]}\n",
        "5:29",
        "vary.variant.reach: -1 is",
    ),
    "geometry of an axis": (HEAD + "vary:\n- grid: {model.patch_size: [4, 5]}\n", "5:32", "vary.model.patch_size=5"),
    "variant of an axis": (HEAD + "vary:\n- grid: {variant: [whole, windw]}\n", "5:27", "Did you mean window?"),
    "leak": (
        HEAD + "vary:\n- grid: {variant.name: [whole], variant.reach: [1]}\n",
        "5:33",
        "whole has no such field",
    ),
    "label as number": (
        HEAD + "vary:\n- list: [{variant.reach: 0, label: 3}]\n",
        "5:36",
        "expected text, got the number 3",
    ),
    "label twice": (
        HEAD + "vary:\n- list: [{variant.reach: 0, label: a}, {variant.reach: 1, label: a}]\n",
        "5:66",
        "label of another row",
    ),
    "explosion": (
        HEAD + "vary:\n- grid: {" + ", ".join(f"train.x{i}: [1, 2, 3, 4, 5, 6, 7, 8]" for i in range(40)) + "}\n",
        "5:3",
        "more than 20000 trials",
    ),
    "seed explosion": (
        HEAD + "vary: [{grid: {variant.reach: [0, 1]}}]\nseeds: 15000\n",
        "4:8",
        "more than 20000 trials",
    ),
    "every row": (
        HEAD + "vary:\n- grid: {train.raet: [1], train.num_steps: [" + ", ".join(map(str, range(20_000))) + "]}\n",
        "5:10",
        "vary.train.raet: train has no such field",
    ),
    # baseline
    "baseline of no row": (HEAD + "baseline: {variant.reach: 7}\n", "4:27", "rows have 1"),
    "baseline misspelt": (HEAD + "baseline: {variant.raech: 1}\n", "4:12", "Did you mean variant.reach?"),
    "ambiguous baseline": (
        HEAD + "vary: [{grid: {variant.reach: [2, 3]}}]\nbaseline: {train.num_steps: 600}\n",
        "5:1",
        "2 rows have these values",
    ),
    "baseline as text": (HEAD + "baseline: window\n", "4:11", "expected a mapping"),
}
