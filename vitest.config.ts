import { defineConfig } from 'vitest/config'

// Tests import the built product (`#src/...` resolves to dist), so worker threads and the
// command line run the same files a user runs; `npm test` builds first.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: more processes than that only make mounts time out.
    maxWorkers: 2,
  },
})
