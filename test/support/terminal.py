"""terminal.py COLUMNS ROWS PROGRAM ARGS...: runs a program on a terminal of its own. What comes on stdin
is typed, what the terminal gets is written to stdout; ends with the program's exit code (128 + the
number of the signal that ended it)."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios

columns, rows, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
pid, terminal = pty.fork()
if pid == 0:
    # The size is there before the program asks for it.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execvp(argv[0], argv)
typing = [0]
while True:
    ready, _, _ = select.select([terminal, *typing], [], [])
    if terminal in ready:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        os.write(1, part)
    if 0 in ready:
        keys = os.read(0, 4096)
        if not keys:
            typing = []
        os.write(terminal, keys)
_, status = os.waitpid(pid, 0)
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
