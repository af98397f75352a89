"""Reads statements, a JSON list on stdin, by sqlfluff's grammar of T-SQL.

Answers a JSON list: for each statement what cannot be read in it, in sqlfluff's words. Nothing of its style rules is asked.
"""

import json
import sys

from sqlfluff.core import FluffConfig, Linter

linter = Linter(config=FluffConfig(overrides={"dialect": "tsql", "templater": "raw"}))
json.dump(
    [[violation.desc() for violation in linter.parse_string(sql).violations] for sql in json.load(sys.stdin)],
    sys.stdout,
)
