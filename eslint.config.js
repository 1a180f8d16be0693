import tseslint from 'typescript-eslint'

/**
 * The import rule: a folder of src may import only what is listed for it here (and itself).
 * Imports point down; layer 0 (bytes, errors, posix for what has no function in Node) is open to all.
 */
const mayImport = {
  bytes: ['errors'],
  errors: [],
  posix: ['bytes', 'errors'],
  blob: ['bytes', 'errors'],
  index: ['bytes', 'errors'],
  'pxar-decode': ['bytes', 'errors'],
  'fuse/protocol': ['bytes', 'errors'],
  volumes: ['bytes', 'errors'],
  source: ['bytes', 'errors', 'posix', 'blob', 'index'],
  keys: ['bytes', 'errors', 'blob'],
  workers: ['bytes', 'errors', 'posix', 'blob', 'source'],
  cache: ['bytes', 'errors'],
  reader: ['bytes', 'errors', 'blob', 'index', 'source', 'cache', 'workers'],
  tree: ['bytes', 'errors', 'blob', 'index', 'pxar-decode', 'source', 'volumes'],
  fuse: ['bytes', 'errors', 'posix', 'tree', 'fuse/protocol'],
  'nbd/protocol': ['bytes', 'errors'],
  nbd: ['bytes', 'errors', 'posix', 'nbd/protocol'],
  'fuse-native': ['bytes', 'errors', 'tree'],
  browse: ['bytes', 'errors', 'source', 'tree'],
  access: ['bytes', 'errors', 'posix', 'source', 'browse'],
  overlay: ['bytes', 'errors', 'posix'],
  restore: ['bytes', 'errors', 'posix', 'tree', 'browse'],
  boot: ['bytes', 'errors', 'posix'],
  check: ['bytes', 'errors', 'index', 'source', 'browse'],
  doctor: ['bytes', 'errors', 'source', 'browse'],
  app: ['bytes', 'errors', 'posix', 'overlay', 'blob', 'index', 'pxar-decode', 'source', 'keys', 'workers', 'cache', 'reader', 'tree', 'volumes'],
}
const folders = [...Object.keys(mayImport).filter((folder) => !folder.includes('/')), 'daemon', 'cli']

function importRule([folder, allowed]) {
  const forbidden = folders.filter((other) => other !== folder && !allowed.includes(other) && !folder.startsWith(`${other}/`))
  const [parent, below] = folder.split('/')
  if (below !== undefined) forbidden.push(parent)
  return {
    files: [`src/${folder}/**/*.ts`],
    ...(`${folder}/protocol` in mayImport ? { ignores: [`src/${folder}/protocol/**`] } : {}),
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: `^(\\.\\./)+(${forbidden.join('|')})/`,
              message: `src/${folder} may import only: ${allowed.join(', ') || 'nothing of ours'}.`,
            },
          ],
        },
      ],
    },
  }
}

export default tseslint.config(
  { ignores: ['dist/', 'dist-bench/', 'node_modules/'] },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/only-throw-error': 'off',
      'no-control-regex': 'off',
      'no-misleading-character-class': 'off',
    },
  },
  ...Object.entries(mayImport).map(importRule),
)
