"""Types of the wire are described one at a time: whoever meets one half described ends the process."""

from __future__ import annotations

import subprocess
import sys

from tests.factories import ROOT

#: Each query of the API, for the first time, in eight threads at once that take turns as often as Python can.
SCRIPT = """
import sys, threading
import flask, msgspec
sys.setswitchinterval(1e-6)
from app import model
from app.errors import Invalid
from app.server.api._spec import parse_query
app = flask.Flask("x")
for kind in [value for name, value in vars(model).items() if name.endswith("Query")]:
    given = {field.encode_name: "5" for field in msgspec.structs.fields(kind)}
    together = threading.Barrier(8)
    def parse():
        with app.test_request_context("/", query_string=given):
            together.wait()
            try:
                parse_query(kind)
            except Invalid:
                pass
    threads = [threading.Thread(target=parse) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def test_the_first_queries_of_a_process_may_come_all_at_once() -> None:
    """Without the lock of ``decoder_of`` it dies in nearly every run."""
    for _ in range(3):
        found = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert (found.returncode, found.stderr) == (0, "")
