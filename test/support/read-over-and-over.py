"""Reads all files of a folder again and again, from the daemon and not from memory.

read-over-and-over.py FOLDER: prints "ready" after the first time, then for every further one a
line of what came of it: sorted words, "same" for the bytes of the first time, names of errnos, or
"WRONG path". Ends with its standard input.
"""
import errno
import os
import select
import sys


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


paths = [os.path.join(where, name) for where, _, names in os.walk(sys.argv[1]) for name in names]
paths = [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
first = {path: read(path) for path in paths}
assert first
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    seen = set()
    for path in paths:
        try:
            seen.add("same" if read(path) == first[path] else "WRONG " + path)
        except OSError as error:
            seen.add(errno.errorcode[error.errno])
    print(" ".join(sorted(seen)), flush=True)
