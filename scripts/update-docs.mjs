// Writes the option tables of docs/cli.md from the program; run after `npm run build`.
import { readFileSync, writeFileSync } from 'node:fs'
import { COMMANDS } from '../dist/cli/commands/commands.js'
import { fillOptionTables } from '../dist/cli/render-options.js'

const path = new URL('../docs/cli.md', import.meta.url)
const commands = COMMANDS.map((define) => define(() => undefined))
writeFileSync(path, await fillOptionTables(readFileSync(path, 'utf8'), commands))
