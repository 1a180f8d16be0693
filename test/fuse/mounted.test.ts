import { closeSync, openSync, readdirSync, readSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { unmount } from '#src/fuse/mount.js'
import { cleanStaleMount, probeMount } from '#src/fuse/stale.js'
import { hasProgram, MountedChild, NOBODY, noFuseReason, run, sh, type RunOptions } from '../support/mounting.js'

const reason = noFuseReason()
if (reason !== undefined) console.log(`mount tests ${reason}`)
const asRoot = process.geteuid?.() === 0
const userReason = asRoot && !hasProgram('fusermount3') ? 'skipped: fusermount3 is missing (package fuse3)' : undefined
if (userReason !== undefined) console.log(`mount tests of an ordinary user ${userReason}`)

const running: MountedChild[] = []
afterEach(async () => {
  for (const child of running.splice(0)) await child.cleanUp()
})

async function mount(setup: Parameters<typeof MountedChild.start>[0] = {}, options: RunOptions = {}): Promise<MountedChild> {
  const child = await MountedChild.start(setup, options)
  running.push(child)
  return child
}

const bigDigest = ((): string => {
  const big = Buffer.alloc(3_000_001)
  for (let i = 0; i < big.length; i++) big[i] = (i * 2654435761) >>> 24
  return createHash('sha256').update(big).digest('hex')
})()

interface Count {
  name: string
  count: number
  errors: number
}

async function counts(child: MountedChild): Promise<Record<string, number>> {
  const stats = JSON.parse(await child.ask('stats')) as { opcodes: Count[]; rejectedReplies: number; malformed: number }
  expect([stats.rejectedReplies, stats.malformed]).toEqual([0, 0])
  return Object.fromEntries(stats.opcodes.map(({ name, count }) => [name, count]))
}

const ways: [string, Parameters<typeof MountedChild.start>[0], RunOptions][] = [
  ['opened by the kernel', {}, {}],
  ['with OPEN answered', { session: { noOpen: false, noOpendir: false } }, {}],
  ['with every answer late', { delayMs: 1 }, {}],
  ['with the slow way of waiting', { slowWaiting: true }, {}],
]
if (asRoot && userReason === undefined) ways.push(['by an ordinary user', {}, { uid: NOBODY }])

describe.skipIf(reason !== undefined)('a mounted tree', () => {
  it.each(ways)('is read by everyday programs (%s)', async (_way, setup, who) => {
    const child = await mount(setup, who)
    const m = child.mountpoint
    expect(child.output).toBe(asRoot && who.uid === undefined ? 'ready mount\n' : 'ready fusermount3\n')

    const names = 'big.bin caf\xe9\n\x01 delivered.bin empty hello.txt link live many null one slow.bin sparse.img sub two'.split(' ').sort()
    expect((await sh(`ls -1A --show-control-chars --literal ${m}; true`, who)).trimEnd().split('\n').length).toBe(names.length + 1)
    expect((await sh(`find ${m} -mindepth 1 -maxdepth 1 -printf '%f/'`, who)).split('/').filter(Boolean).sort()).toEqual(names)
    expect(await sh(`cat ${m}/hello.txt ${m}/link ${m}/caf*`, who)).toBe('hello world\nleaf\nodd name\n')
    expect(await sh(`stat -c '%a %u %g %s %.9Y %h %F' ${m}/hello.txt`, who)).toBe(
      '644 1234 4321 12 -4.876543211 1 regular file\n',
    )
    expect(await sh(`stat -c '%t:%T %F' ${m}/null`, who)).toBe('1:3 character special file\n')
    expect(await sh(`stat -c %i ${m}/one ${m}/two | uniq | wc -l`, who)).toBe('1\n')
    for (const name of ['big.bin', 'slow.bin', 'delivered.bin']) {
      expect((await sh(`sha256sum < ${m}/${name}`, who)).slice(0, 64)).toBe(bigDigest)
    }
    expect(await sh(`getfattr -d --absolute-names ${m}/hello.txt`, who)).toContain('user.comment="a note"\nuser.empty=""')
    await expect(sh(`cat ${m}/missing`, who)).rejects.toThrow(/No such file/)
    await expect(sh(`echo > ${m}/new`, who)).rejects.toThrow(/Read-only file system/)

    const copy = join(child.folder, 'copy')
    await sh(`cp -a --sparse=auto ${m} ${copy} 2>&1`, asRoot && who.uid !== undefined ? {} : who).catch(() => undefined)
    if (who.uid === undefined && asRoot) {
      expect(await sh(`diff -r --no-dereference ${m} ${copy} 2>&1 | grep -v 'character special'; true`)).toBe('')
      expect(Number(await sh(`stat -c %b ${copy}/sparse.img`))).toBeLessThan(100)
      expect(await sh(`stat -c %h ${copy}/one`)).toBe('2\n')
    }

    await run('umount', ['-i', m], who.uid === undefined ? {} : who).catch(() => run('fusermount3', ['-u', m], who))
    await child.waitFor(/^end unmounted\n/m)
    expect(await child.exited).toBe(0)
    expect(child.isMounted()).toBe(false)
    expect(child.errors.replace(/^debug: .*\n/gm, '')).toBe('')
  })

  it('tells programs where the holes are', async () => {
    const child = await mount()
    const script = 'import os,sys; f=os.open(sys.argv[1],0); print(os.lseek(f,0,3), os.lseek(f,1<<20,4), os.lseek(f,0,4))'
    expect(await run('python3', ['-c', script, join(child.mountpoint, 'sparse.img')])).toBe('1048576 1056768 0\n')
  })

  it('is asked once for what never changes', async () => {
    const child = await mount({ manyFiles: 300 })
    const walk = `ls -lR ${child.mountpoint}/many ${child.mountpoint}/sub > /dev/null; cat ${child.mountpoint}/hello.txt ${child.mountpoint}/link; readlink ${child.mountpoint}/link; ls ${child.mountpoint}/missing; true`
    await sh(walk)
    const before = await counts(child)
    await new Promise((resolve) => setTimeout(resolve, 1200))
    await sh(walk)
    const after = await counts(child)
    for (const name of ['LOOKUP', 'GETATTR', 'READDIRPLUS', 'READ', 'OPEN', 'OPENDIR', 'READLINK', 'FLUSH']) {
      expect([name, after[name]]).toEqual([name, before[name]])
    }
    expect(before['LOOKUP']).toBeLessThan(10)
    expect(before['OPEN']).toBe(1)
    if (asRoot) {
      const device = (await sh(`grep ' ${child.mountpoint} ' /proc/self/mountinfo`)).split(' ')[2]!
      expect(await sh(`cat /sys/class/bdi/${device}/read_ahead_kb`)).toBe('8192\n')
    }
  })

  it.each([true, false])('shows what appears in a live directory within its second (no-opendir: %s)', async (noOpendir) => {
    const child = await mount({ session: { noOpendir } })
    const live = join(child.mountpoint, 'live')
    const list = async (): Promise<string> => (await sh(`ls ${live}`)).trimEnd().replaceAll('\n', ' ')
    expect(await list()).toBe('first')
    const watcher = run('python3', ['-u', '-c', [
      'import os, sys, time',
      'os.chdir(sys.argv[1])',
      'seen = [sorted(os.listdir("."))]',
      'end = time.time() + 8',
      'while len(seen[-1]) < 2 and time.time() < end:',
      '    time.sleep(0.2)',
      '    seen.append(sorted(os.listdir(".")))',
      'print(seen[0], seen[-1])',
    ].join('\n'), live])
    await new Promise((resolve) => setTimeout(resolve, 300))
    await expect(sh(`cat ${live}/second`)).rejects.toThrow(/No such file/)
    expect(await child.ask('add second')).toBe('added')
    expect(await sh(`cat ${live}/second`)).toBe('second\n')
    await new Promise((resolve) => setTimeout(resolve, 1100))
    expect(await list()).toBe('first second')
    expect((await watcher).trimEnd()).toMatch(/\['first'(, 'second')?\] \['first', 'second'\]/)
  }) // prettier-ignore

  it('lets an interrupted program go when its answer does not come', async () => {
    const child = await mount({ session: { interruptAfterMs: 200 } })
    const start = performance.now()
    // A page that is read ahead is waited for in a way only SIGKILL ends; O_DIRECT waits for the answer.
    const script = [
      'import os, signal, sys',
      'def stop(*_): raise KeyboardInterrupt',
      'signal.signal(signal.SIGALRM, stop)',
      'signal.setitimer(signal.ITIMER_REAL, 0.3)',
      'try: os.stat(sys.argv[1])',
      'except (KeyboardInterrupt, InterruptedError): print("interrupted")',
    ].join('\n')
    expect(await run('python3', ['-c', script, join(child.mountpoint, 'stuck')])).toBe('interrupted\n')
    expect(performance.now() - start).toBeLessThan(5000)
    expect(await sh(`cat ${child.mountpoint}/hello.txt`)).toBe('hello world\n')
    expect(await child.ask('unmount')).toBe('end unmounted')
  })

  it.each(['stop', 'unmount'])('ends with %s although a request waits for ever', async (command) => {
    const child = await mount()
    const waiting = sh(`stat ${child.mountpoint}/stuck`).catch(() => 'failed')
    await new Promise((resolve) => setTimeout(resolve, 300))
    if (command === 'unmount') await run('umount', ['-l', '-i', child.mountpoint])
    expect(await child.ask('stop')).toBe('end stopped')
    expect(await waiting).toBe('failed')
    expect(await child.exited).toBe(0)
  })

  it('sleeps when nobody asks', async () => {
    const child = await mount()
    await sh(`ls -l ${child.mountpoint}`)
    const ticks = async (): Promise<number> => {
      const fields = (await sh(`cat /proc/${child.child.pid}/stat`)).split(' ')
      return Number(fields[13]) + Number(fields[14])
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
    const before = await ticks()
    await new Promise((resolve) => setTimeout(resolve, 2000))
    expect((await ticks()) - before).toBeLessThan(10)
  })

  it('stops at once when told to, and leaves a dead mount that cleans up', async () => {
    const child = await mount()
    await sh(`ls ${child.mountpoint}`)
    const start = performance.now()
    expect(await child.ask('stop')).toBe('end stopped')
    expect(await child.exited).toBe(0)
    expect(performance.now() - start).toBeLessThan(2000)
    const path = Buffer.from(child.mountpoint)
    expect(await probeMount(path)).toBe('dead')
    expect(await cleanStaleMount(path)).toBe(true)
    expect(await probeMount(path)).toBe('none')
    expect(await cleanStaleMount(path)).toBe(false)
  })

  it('survives kill -9 of the daemon: readers get an error, the next one cleans up', async () => {
    const child = await mount()
    const path = Buffer.from(child.mountpoint)
    expect(await probeMount(path)).toBe('alive')
    expect(await cleanStaleMount(path)).toBe(false)
    child.child.kill('SIGKILL')
    await child.exited
    await expect(sh(`ls ${child.mountpoint}`)).rejects.toThrow(/not connected/)
    expect(await cleanStaleMount(path)).toBe(true)
    expect(await sh(`ls -A ${child.mountpoint}`)).toBe('')
  })

  it('says when it is in use, and lets go lazily', async () => {
    const child = await mount()
    const path = Buffer.from(child.mountpoint)
    const fd = openSync('/proc/self/status', 'r')
    closeSync(fd)
    const held = run('sh', ['-c', `exec < ${child.mountpoint}/big.bin; sleep 1; cksum`])
    await new Promise((resolve) => setTimeout(resolve, 300))
    await expect(unmount(path)).rejects.toThrow(/is in use/)
    await unmount(path, { lazy: true })
    expect(child.isMounted()).toBe(false)
    expect(await held).toContain('3000001')
    await child.waitFor(/^end unmounted\n/m)
    await expect(unmount(path)).rejects.toThrow(/Nothing is mounted|No mount of this user/)
  })

  it('ends cleanly under load, whoever dies', async () => {
    const child = await mount({ manyFiles: 2000, delayMs: 0 })
    const m = child.mountpoint
    const loops = [
      `while :; do find ${m} -printf '%s' || exit; done`,
      `while :; do cat ${m}/delivered.bin ${m}/slow.bin | cksum || exit; done`,
      `while :; do dd if=${m}/big.bin of=/dev/null bs=64k iflag=direct || exit; done`,
      `while :; do timeout -s KILL 0.05 cat ${m}/slow.bin; done`,
    ].map((loop) => spawn('/bin/sh', ['-c', loop], { stdio: 'ignore', detached: true }))
    const ended = loops.map((loop) => new Promise((resolve) => loop.on('exit', resolve)))
    try {
      await new Promise((resolve) => setTimeout(resolve, 2000))
      const before = await counts(child)
      expect(before['READ']).toBeGreaterThan(10)
      await unmount(Buffer.from(m), { lazy: true })
    } finally {
      for (const loop of loops) process.kill(-loop.pid!, 'SIGKILL')
    }
    await Promise.all(ended)
    await child.waitFor(/^end unmounted\n/m)
    expect(await child.exited).toBe(0)
    expect(child.errors.replace(/^debug: .*\n/gm, '')).toBe('')
  })

  it('sees an abort through fusectl', async () => {
    const child = await mount()
    const minor = (await sh(`grep ' ${child.mountpoint} ' /proc/self/mountinfo`)).split(' ')[2]!.split(':')[1]!
    const control = `/sys/fs/fuse/connections/${minor}/abort`
    await sh(`mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections; echo 1 > ${control}`)
    await child.waitFor(/^end aborted\n/m)
  })

  it('owners and permissions as the options say', async () => {
    // fusermount3 lets others in only where the administrator allowed it.
    const options = asRoot ? 'allow_other,noexec' : 'default_permissions,noexec'
    const child = await mount({ mountOptions: [options], session: { override: { uid: 12, gid: 34, umask: 0o077 } } })
    expect(await sh(`stat -c '%a %u %g' ${child.mountpoint}/hello.txt`)).toBe('700 12 34\n')
    expect(await sh(`grep ' ${child.mountpoint} ' /proc/self/mountinfo`)).toMatch(asRoot ? / ro,nosuid,nodev,noexec,.*default_permissions,allow_other/ : / ro,nosuid,nodev,noexec,.*default_permissions/)
    if (asRoot) await expect(sh(`cat ${child.mountpoint}/hello.txt`, { uid: NOBODY })).rejects.toThrow(/Permission denied/)
  })
})

describe.skipIf(reason !== undefined || !asRoot || userReason !== undefined)('an ordinary user', () => {
  it('is told what fusermount3 lacks', async () => {
    await expect(mount({ mountOptions: ['allow_other'] }, { uid: NOBODY })).rejects.toThrow(/user_allow_other/)
  })

  it('keeps others out, root too', async () => {
    const child = await mount({}, { uid: NOBODY })
    await expect(sh(`ls ${child.mountpoint}`)).rejects.toThrow(/Permission denied/)
    expect(await child.ask('unmount')).toBe('end unmounted')
    expect(await child.exited).toBe(0)
  })

  it('cleans up a dead mount of its own', async () => {
    const child = await mount({}, { uid: NOBODY })
    child.child.kill('SIGKILL')
    await child.exited
    const script = `import('${new URL('../../dist/fuse/stale.js', import.meta.url).pathname}')
      .then((m) => m.cleanStaleMount(Buffer.from(process.argv[1]))).then(console.log)`
    expect(await run(process.execPath, ['-e', script, child.mountpoint], { uid: NOBODY })).toBe('true\n')
    expect(child.isMounted()).toBe(false)
  })
})

describe('descriptors', () => {
  it('are not leaked by failed mounts', async () => {
    const { mountFuse } = await import('#src/fuse/mount.js')
    const count = (): number => readdirSync('/proc/self/fd').length
    const attempt = (): Promise<unknown> =>
      mountFuse({ mountpoint: Buffer.from('/nonexistent/here'), source: 'x' }).catch((error: unknown) => error)
    expect(String(await attempt())).toMatch(/Cannot mount on \/nonexistent\/here/)
    const before = count()
    for (let i = 0; i < 5; i++) await attempt()
    expect(count()).toBe(before)
  })

  it('that are no channel are refused', async () => {
    const { mountFuse } = await import('#src/fuse/mount.js')
    const fd = openSync('/dev/null', 'r')
    await expect(mountFuse({ mountpoint: Buffer.from(`/dev/fd/${fd}`), source: 'x' })).rejects.toThrow(/is \/dev\/null/)
    closeSync(fd)
    await expect(mountFuse({ mountpoint: Buffer.from('/dev/fd/999'), source: 'x' })).rejects.toThrow(/not open/)
    expect(() => readSync(fd, Buffer.alloc(1))).toThrow()
  })
})
