"""Locks as the server takes them, in a process of its own. One command a line, one answer a line.

hold PATH     exclusive, not waiting, on a file (made when missing) or folder: "held" or "busy"
share PATH    the same, shared
release       gives up everything: "released"
"""
import fcntl
import os
import sys

held = []


def lock(path, how):
    if os.path.isdir(path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o660)
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return "busy"
    if os.fstat(fd).st_ino != os.stat(path).st_ino:
        os.close(fd)
        return "busy"
    held.append(fd)
    return "held"


for line in sys.stdin:
    command, _, path = line.rstrip("\n").partition(" ")
    if command == "hold":
        answer = lock(path, fcntl.LOCK_EX)
    elif command == "share":
        answer = lock(path, fcntl.LOCK_SH)
    else:
        while held:
            os.close(held.pop())
        answer = "released"
    print(answer, flush=True)
