import { describe, expect, it } from 'vitest'
import { findMountAt, parseMountinfo, readMountinfo } from '#src/fuse/mountinfo.js'

const TEXT = Buffer.from(
  [
    '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '36 22 0:39 / /mnt/a\\040b\\011\\134\\043\xe9 ro,nosuid,nodev master:1 shared:2 - fuse.pbsfs src\\040with\\012 ro,user_id=0',
    '37 36 0:40 / /mnt/x rw - tmpfs none rw',
    '38 37 0:41 / /mnt/x rw - fuse.pbsfs top ro',
    'not a line',
    '39 37 0:41 / /y rw - fuse.pbsfs',
    '',
  ].join('\n'),
  'latin1',
)

describe('mountinfo', () => {
  it('reads bytes, optional fields and escapes', () => {
    const entries = parseMountinfo(TEXT)
    expect(entries.length).toBe(4)
    expect(entries[1]).toEqual({
      id: 36,
      parentId: 22,
      major: 0,
      minor: 39,
      mountpoint: Buffer.from('/mnt/a b\t\\#\xe9', 'latin1'),
      options: 'ro,nosuid,nodev',
      type: 'fuse.pbsfs',
      source: Buffer.from('src with\n'),
      superOptions: 'ro,user_id=0',
    })
  })

  it('finds the mount on top', () => {
    const entries = parseMountinfo(TEXT)
    expect(findMountAt(Buffer.from('/mnt/x'), entries)?.id).toBe(38)
    expect(findMountAt(Buffer.from('/mnt'), entries)).toBeUndefined()
  })

  it('reads the table of this process', () => {
    expect(findMountAt(Buffer.from('/'), readMountinfo())).toBeDefined()
  })
})
