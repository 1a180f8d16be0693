import { randomOf } from '../writer/random.js'

export const RANDOM_READ_BYTES = 4096

/** Where a random reader reads: the same for whoever asks with the same seed. */
export function randomOffsets(seed: number, count: number, size: number): number[] {
  const random = randomOf(seed)
  return Array.from({ length: count }, () => Math.floor(random() * (size - RANDOM_READ_BYTES)))
}
