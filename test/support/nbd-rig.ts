import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { ReadAt } from '#src/bytes/read-at.js'
import type { ErrorFields } from '#src/errors/errors.js'
import { DiskTable, type Disk } from '#src/nbd/disk-table.js'
import { unixAddress } from '#src/nbd/listen-address.js'
import { NbdServer, type NbdServerParts } from '#src/nbd/server.js'
import { NbdClient } from './nbd-client.js'
import { temporaryFolder } from './temporary-folder.js'

/** A stream as a disk. */
export function diskOf(name: string, stream: ReadAt, more: Partial<Disk> = {}): Disk {
  return { name, description: `${name} of the test`, content: () => Promise.resolve({ stream, start: 0, size: stream.size }), ...more }
}

export interface RunningServer {
  readonly server: NbdServer
  readonly path: string
  /** `level message`, as logged. */
  readonly log: string[]
  readonly problems: { readonly error: unknown; readonly name: string; readonly offset: number | undefined }[]
  readonly open: () => Promise<NbdClient>
  uri(name: string): string
}

/** Servers on sockets in a folder of their own, ended with the tests of the file. */
export function nbdRig(): (disks: readonly Disk[], parts?: Partial<NbdServerParts>) => Promise<RunningServer> {
  const folder = temporaryFolder()
  const servers: NbdServer[] = []
  afterAll(async () => {
    for (const server of servers) {
      server.cutOff()
      await server.close()
    }
  })
  return async (disks, parts = {}) => {
    const path = join(folder, `${servers.length}.sock`)
    const log: string[] = []
    const problems: RunningServer['problems'] = []
    const at = (level: string) => (message: string, fields?: ErrorFields) => void log.push(`${level} ${message}${fields?.['error'] === undefined ? '' : ` ${String(fields['error'])}`}`)
    const server = await NbdServer.listen(unixAddress(path), {
      exports: new DiskTable(disks),
      log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
      onProblem: (error, name, offset) => problems.push({ error, name, offset }),
      ...parts,
    })
    servers.push(server)
    return { server, path, log, problems, open: () => NbdClient.open(path), uri: (name) => `nbd+unix:///${name}?socket=${path}` }
  }
}
