"""type-password.py PASSWORD PROGRAM ARGS...: runs a program on a terminal of its own and types the
password when it asks. Prints what the terminal showed; ends with the program's exit code."""

import os
import pty
import sys

password, argv = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
shown = b""
typed = False
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    shown += part
    if not typed and b"Password of" in shown:
        os.write(terminal, password.encode() + b"\r")
        typed = True
_, status = os.waitpid(pid, 0)
sys.stdout.write(shown.decode("utf-8", "replace"))
sys.exit(os.waitstatus_to_exitcode(status))
