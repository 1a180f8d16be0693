const KiB = 1024
const MiB = 1024 * KiB

/** Largest chunk the server accepts, in bytes of content. No index may refer to a larger one. */
export const MAX_CHUNK_SIZE = 16 * MiB

/** Largest content of a `*.blob` file that any writer makes. */
export const MAX_BLOB_SIZE = 128 * MiB
