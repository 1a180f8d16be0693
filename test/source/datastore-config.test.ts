import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { isStoreName, maintenanceProblem, parseDatastoreConfig, parsePropertyString, readDatastoreConfig } from '#src/source/datastore-config.js'

const config = `datastore: main
\tcomment several words: here
\tpath /mnt/backup
\tgc-schedule daily
\tmaintenance-mode type=read-only,message="moving \\"soon\\", wait"

datastore: usb
\tbacking-device 1234-ABCD
\tpath store
\tmaintenance-mode offline

datastore: cloud
    path /var/cache/cloud
    backend bucket=pbs,type=s3,client=minio,max-cache-size=10G

prune: job
\tpath /not/a/store

datastore: relative
\tpath a/b

datastore: no-path
\tcomment x
datastore: last
\tpath /last`

it('reads the stores of this host', () => {
  const stores = parseDatastoreConfig(config)
  expect(stores.map(({ name, path, s3 }) => [name, path, s3])).toEqual([
    ['main', '/mnt/backup', false],
    ['usb', '/mnt/datastore/usb', false],
    ['cloud', '/var/cache/cloud', true],
    ['last', '/last', false],
  ])
  expect(stores[0]).toMatchObject({ maintenance: 'read-only', maintenanceMessage: 'moving "soon", wait', backingDevice: undefined })
  expect(stores[1]).toMatchObject({ maintenance: 'offline', backingDevice: '1234-ABCD' })
  expect(stores.map(maintenanceProblem)).toEqual([undefined, 'datastore usb is in maintenance mode offline', undefined, undefined])
})

it('reads property strings', () => {
  expect([...parsePropertyString('delete', 'type')]).toEqual([['type', 'delete']])
  expect([...parsePropertyString('a=1,s3,b="x,\\n\\\\y",c=', 'type')]).toEqual([['a', '1'], ['type', 's3'], ['b', 'x,\n\\y'], ['c', '']])
  for (const odd of ['', ',', '"', 'a="b', '==', 'a=,,,b', '"x"y']) expect(parsePropertyString(odd, 'type')).toBeInstanceOf(Map)
})

it('no configuration means no stores', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pbsfs-config-'))
  try {
    expect(readDatastoreConfig(dir)).toEqual([])
    expect(readDatastoreConfig(join(dir, 'none'))).toEqual([])
    writeFileSync(join(dir, 'datastore.cfg'), config)
    expect(readDatastoreConfig(dir)).toHaveLength(4)
    rmSync(join(dir, 'datastore.cfg'))
    mkdirSync(join(dir, 'datastore.cfg'))
    expect(() => readDatastoreConfig(dir)).toThrow(expect.objectContaining({ tag: 'source' }) as Error)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

it('store names', () => {
  expect(['main', 'a_b', 'ab', '/mnt', './x', 'x'.repeat(33), '.hidden'].map(isStoreName)).toEqual([true, true, false, false, false, false, false])
})
