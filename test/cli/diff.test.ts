import { join } from 'node:path'
import { expect, it } from 'vitest'
import { main } from '#src/cli/main.js'
import { captureOutput } from '../support/captured-output.js'
import { DatastoreWriter } from '../support/datastore-writer.js'
import { exampleStore } from '../support/golden.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const DAYS = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'] as const

async function diff(...args: string[]) {
  const output = captureOutput()
  const code = await main(['diff', ...args], output)
  return { code, ...output.texts }
}

it('of two snapshots: what is in their archives, and nothing that the server or pbsfs adds', async () => {
  expect(await diff(`${exampleStore}::host/web/${DAYS[0]}`, `${exampleStore}::host/web/${DAYS[2]}`)).toEqual({
    code: 0,
    err: '',
    out: [
      'removed  root.pxar/home/anna/letters/2025-12-31.txt',
      'added    root.pxar/home/anna/letters/2026-01-03.txt',
      'removed  root.pxar/home/anna/photos/best.jpg',
      'added    root.pxar/home/anna/photos/favourite.jpg',
      'changed  root.pxar/srv/www/index.html  (content, time)',
      '',
    ].join('\n'),
  })
})

it('of two snapshots of a machine: disks and files that changed, and those alone', async () => {
  const store = new DatastoreWriter(join(temporaryFolder(), 'store'))
  const disk = Buffer.alloc(300_000, 1)
  const write = (time: string, image: Buffer, config: string): void => {
    const snapshot = store.snapshot({ type: 'vm', id: '100' }, time)
    snapshot.addImage('drive-scsi0.img.fidx', image, 65_536, 'zstd')
    snapshot.addBlob('qemu-server.conf.blob', Buffer.from(config))
    snapshot.finish()
  }
  write(DAYS[0], disk, 'memory: 1')
  write(DAYS[1], disk, 'memory: 1')
  write(DAYS[2], Buffer.alloc(300_000, 2), 'memory: 2')
  const at = (day: string): string => `${store.path}::vm/100/${day}`
  expect(await diff(at(DAYS[0]), at(DAYS[1]), '--exit-code')).toEqual({ code: 0, out: '', err: '' })
  expect(await diff(at(DAYS[1]), at(DAYS[2]), '--exit-code')).toEqual({
    code: 1,
    out: 'changed  drive-scsi0.img  (content)\nchanged  qemu-server.conf  (content)\n',
    err: '',
  })
})
