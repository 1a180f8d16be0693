// Writes the tables of docs/cli.md from the program; run after `npm run build`.
import { readFileSync, writeFileSync } from 'node:fs'
import { describeAllCommands } from '../dist/cli/reference/all-commands.js'
import { fillBlocks, renderBlocks } from '../dist/cli/reference/render-tables.js'

const path = new URL('../docs/cli.md', import.meta.url)
writeFileSync(path, fillBlocks(readFileSync(path, 'utf8'), renderBlocks(describeAllCommands())))
