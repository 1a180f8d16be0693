// Writes the tables of docs/cli.md and the manual page from the program; run after `npm run build`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { describeAllCommands } from '../dist/cli/reference/all-commands.js'
import { renderManPage } from '../dist/cli/reference/render-man.js'
import { fillBlocks, renderBlocks } from '../dist/cli/reference/render-tables.js'
import { readVersion } from '../dist/cli/version.js'

const path = new URL('../docs/cli.md', import.meta.url)
const man = new URL('../man/pbsfs.1', import.meta.url)
const commands = describeAllCommands()
writeFileSync(path, fillBlocks(readFileSync(path, 'utf8'), renderBlocks(commands)))
mkdirSync(new URL('.', man), { recursive: true })
writeFileSync(man, renderManPage(commands, readVersion()))
