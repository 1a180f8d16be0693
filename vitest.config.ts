import { defineConfig } from 'vitest/config'

// Where it is set, every Node that a test starts reads a bundle of certificates first, as long as the rest of its start.
delete process.env['NODE_EXTRA_CA_CERTS']

// Tests import what was built (`#src/...` resolves to dist), and the command line they start is what a user
// starts; `npm test` builds first.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: more processes than that only make mounts time out.
    maxWorkers: 2,
  },
})
