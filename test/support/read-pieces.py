"""read-pieces.py FILE COPY SIZE SEED: reads pieces of FILE at random and compares them with the same of COPY."""
import os, random, sys

PIECES = 200
MAX_LENGTH = 300_000

path, copy, size, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
one, other = os.open(path, os.O_RDONLY), os.open(copy, os.O_RDONLY)
for _ in range(PIECES):
    start, length = chance.randrange(size), chance.randrange(1, MAX_LENGTH)
    # What the kernel has kept of the file would be compared with itself.
    os.posix_fadvise(one, start, length, os.POSIX_FADV_DONTNEED)
    if os.pread(one, length, start) != os.pread(other, length, start):
        sys.exit(f'{path}: {length} bytes at {start} differ')
print(f'{PIECES} pieces are equal')
