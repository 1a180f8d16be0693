const KiB = 1024
const MiB = 1024 * KiB

/** Largest chunk the server accepts, in bytes of content. No index may refer to a larger one. */
export const MAX_CHUNK_SIZE = 16 * MiB

/** Largest content of a `*.blob` file that any writer makes. */
export const MAX_BLOB_SIZE = 128 * MiB

/**
 * Heap limits of a thread that works on memory outside its heap: what it allocates is gone at
 * once, so a large young generation (48 MiB by default) would only lie around.
 */
export const SMALL_HEAP = { maxYoungGenerationSizeMb: 4 }
