/** Where a backup keeps its own key, encrypted for the master key. */
export const RSA_KEY_BLOB = 'rsa-encrypted.key.blob'

/** Largest `rsa-encrypted.key.blob`, in bytes: a header and one block of a key of 16384 bits. */
export const MAX_RSA_KEY_BLOB_SIZE = 4096
