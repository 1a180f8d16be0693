"""hash-sparse.py FILE: prints the SHA-256 of a file and how many bytes of it are data; holes are hashed without being read."""
import errno, hashlib, os, sys

ZEROS = bytes(1 << 20)
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
digest = hashlib.sha256()
at = data = 0
while at < size:
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        start = size
    while at < start:
        digest.update(ZEROS[: start - at])
        at += min(len(ZEROS), start - at)
    if at == size:
        break
    end = os.lseek(fd, at, os.SEEK_HOLE)
    while at < end:
        block = os.pread(fd, min(len(ZEROS), end - at), at)
        digest.update(block)
        data += len(block)
        at += len(block)
print(digest.hexdigest(), data)
