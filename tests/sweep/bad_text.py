"""Bad sweep files, one fault each: name -> (text, line:column, part of the message). Faults of the text itself."""

from __future__ import annotations

# common first lines; the line under test is line 4
HEAD = "question: q\ndata: moving_shapes\nvariant: window\n"

CASES: dict[str, tuple[str | bytes, str, str]] = {
    # text that is not valid YAML
    "tab": (HEAD + "train:\n\tnum_steps: 5\n", "5:1", "a tab is not allowed"),
    "tab in a value": (HEAD + "seeds:\t2\n", "4:7", "a tab"),
    "NUL": (HEAD + "seeds: \0002\n", "4:8", "NUL"),
    "escape character": (HEAD + "seeds: \x1b2\n", "4:8", "U+001B"),
    "line separator": (HEAD + "seeds: \u20282\n", "4:8", "U+2028"),
    "not UTF-8": (b"question: caf\xe9\n", "1:14", "0xE9 is not UTF-8"),
    "not UTF-8, later": (HEAD.encode() + "é: ".encode() + b"\xff", "4:4", "0xFF"),
    "not UTF-8 after a BOM": (b"\xef\xbb\xbfquestion: \xff\n", "1:11", "0xFF"),
    "UTF-16": ("question: q".encode("utf-16"), "1:1", "UTF-16"),
    "open bracket": (HEAD + "train: {num_steps: 5\n", "5:1", "not valid YAML"),
    "open quote": (HEAD + 'launch: "local\n', "5:1", "not valid YAML"),
    "indentation": (HEAD + "train:\n  num_steps: 5\n batch_size: 6\n", "6:2", "not valid YAML"),
    "colon in text": ("question: what: why\n", "1:15", "not valid YAML"),
    "escape beyond Unicode": (HEAD + 'base: "\\UFFFFFFFF"\n', "4:1", "not valid YAML"),
    "escaped NUL": ('question: "a\\0b"\n' + HEAD[12:], "1:11", "U+0000"),
    "escaped half of a pair": ('question: "\\ud800"\n' + HEAD[12:], "1:11", "U+D800"),
    "reserved character": (HEAD + "base: @home\n", "4:7", "not valid YAML"),
    # YAML features that are not supported
    "second document": (HEAD + "---\nseeds: 2\n", "4:1", "second document"),
    "directive": ("%YAML 1.1\n---\n" + HEAD, "1:1", "directives"),
    "absurd directive": ("%YAML 1." + "9" * 5000 + "\n---\n", "1:1", "not valid YAML"),
    "unknown tag": (HEAD + "seeds: !many 2\n", "4:8", "tags are not allowed"),
    "Python tag": (HEAD + "base: !!python/object/apply:os.system [ls]\n", "4:7", "tags are not allowed"),
    "standard tag": (HEAD + "seeds: !!int 2\n", "4:8", "tags are not allowed"),
    "anchor": (HEAD + "seeds: &n 2\n", "4:8", "anchor &n"),
    "alias": (HEAD + "seeds: *n\n", "4:8", "alias *n"),
    "deep nesting": (HEAD + "vary: " + "[" * 200 + "]" * 200, "4:27", "deeper than 20"),
    "deeper nesting": (HEAD + "vary: " + "[" * 100_000, "4:27", "deeper than 20"),
    "many values": (HEAD + "vary: [" + "1," * 60_000 + "]", "4:99990", "50000 values"),
    "many keys": (HEAD + "train:\n" + "".join(f"  k{i}: 1\n" for i in range(20_000)), "1005:3", "1000 keys"),
    "merge key": (HEAD + "train: {<<: {num_steps: 1}}\n", "4:9", "merge keys"),
    "number as key": (HEAD + "train: {1: 2}\n", "4:9", "a key must be text"),
    "null as key": (HEAD + "~: 2\n", "4:1", "null as a key"),
    "list as key": (HEAD + "[a]: 2\n", "4:1", "a list as a key"),
    "infinity": (HEAD + "train: {learning_rate: .inf}\n", "4:24", ".inf is not allowed"),
    "not a number": (HEAD + "train: {learning_rate: .nan}\n", "4:24", ".nan is not allowed"),
    "1e999": (HEAD + "train: {learning_rate: 1e999}\n", "4:24", "too large a number"),
    "endless integer": (HEAD + f"seeds: {'9' * 10_000}\n", "4:8", "too large a number"),
    "repeated key": (HEAD + "train: {num_steps: 1, batch_size: 2, num_steps: 3}\n", "4:38", "first given in line 4"),
    "repeated block": (HEAD + "variant: whole\n", "4:1", "first given in line 3"),
    # the file as a whole
    "empty": ("", "1:1", "empty"),
    "comments only": ("# nothing\n", "1:1", "empty"),
    "null": ("---\n", "1:1", "empty"),
    "list on top": ("- question: q\n", "1:1", "a list at the top level"),
    "text on top": ("question\n", "1:1", "a single value at the top level"),
    "too large": ("# " + "x" * 300_000, "", "256 KiB"),
    # values that YAML 1.1 reads differently
    "no": (HEAD + "train: {nesterov: no}\n", "4:19", "no is text here, write false"),
    "on": (HEAD + "train: {nesterov: on}\n", "4:19", "on is text here, write true"),
    "16:40": (HEAD + "train: {num_steps: 16:40}\n", "4:20", "got text '16:40'"),
    "010": (HEAD + "train: {num_steps: 010}\n", "4:20", "010 is text here, write 10"),
    "0x1F": (HEAD + "train: {num_steps: 0x1F}\n", "4:20", "0x1F is text here, write 31"),
    "1_000": (HEAD + "train: {num_steps: 1_000}\n", "4:20", "1_000 is text here, write 1000"),
    "quoted number": (HEAD + 'train: {num_steps: "5"}\n', "4:20", "write 5 without quotes"),
    "quoted true": (HEAD + 'train: {nesterov: "true"}\n', "4:19", "write true without quotes"),
    "whole float": (HEAD + "train: {num_steps: 6.0}\n", "4:20", "write 6"),
    "1e3 steps": (HEAD + "train: {num_steps: 1e3}\n", "4:20", "write 1000"),
    "true for 1": (
        "data: {name: video_list, train_list: a, val_list: b, test_list: c, num_crops: true}\n"
        "variant: window\nquestion: q\n",
        "1:79",
        "true is not allowed; one of 1, 3",
    ),
}
