"""Runs a program on a terminal of its own and types what a test says, each time that a text has come.

Arguments: a JSON list of [text to wait for, text to type], and the program with its arguments. Prints as JSON what the
terminal showed, and the exit code.
"""

import json
import os
import pty
import select
import sys
import termios

steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])

seen, place, echoes = "", 0, True
while True:
    if steps and steps[0][0] in seen[place:]:
        place = len(seen)
        os.write(terminal, steps.pop(0)[1].encode())
    if not select.select([terminal], [], [], 60)[0]:
        sys.exit(f"nothing more came after {seen!r}")
    try:
        chunk = os.read(terminal, 4096)
    except OSError:  # Linux says EIO once the other side is closed.
        break
    if not chunk:
        break
    seen += chunk.decode()
    # The last state before the end: whether the program leaves the terminal as it was.
    echoes = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({"seen": seen, "status": status, "left": len(steps), "echoes": echoes}))
