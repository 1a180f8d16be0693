import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { escapeName } from '../../bytes/names.js'
import { startDaemon } from '../../daemon/background.js'
import { addMap, listMaps, mapFolder, newMapId } from '../../daemon/image-maps.js'
import { kernelMountTable } from '../../daemon/kernel-mount-table.js'
import { leaveMount } from '../../daemon/leave-mount.js'
import { devicePath } from '../../daemon/loop-device.js'
import { currentFolder } from '../../daemon/mountpoint.js'
import { openRuntimeFolder } from '../../daemon/runtime-folder.js'
import { MountError, UsageError } from '../../errors/errors.js'
import { resolveSource } from '../../source/resolve-source.js'
import { formatSelector, parseSource, type Selector } from '../../source/source-string.js'
import { README_NAME } from '../../volumes/disk-set.js'
import type { CommandContext } from '../context.js'
import { EXIT } from '../exit-codes.js'
import type { MountArguments } from '../mount-arguments.js'
import { argToBytes, bytesToArg } from '../raw-args.js'
import { storeSourceText, vendorPlaceText } from '../source-text.js'
import { buildMountConfig, readSecrets, waitNotice } from './mount.js'

export interface MapArguments extends MountArguments {
  readonly image: string | undefined
  readonly partition: string | undefined
}

/** `pbsfs map`: mounts the image where nobody looks, and returns when a loop device over it is there. */
export async function map(args: MapArguments, context: CommandContext): Promise<number> {
  if (process.geteuid?.() !== 0) {
    throw new MountError('only root can make block devices', {
      remedy: 'Without root: mount the snapshot and use the files in the folder IMAGE.parts, README.txt there says how.',
    })
  }
  const { source, shown } = await imageSource(args, context.env)
  const runtime = openRuntimeFolder()
  await listMaps(runtime, kernelMountTable)
  const id = newMapId(runtime)
  const mountpoint = mapFolder(runtime, id)
  const config = buildMountConfig({ ...args, operands: [bytesToArg(source), mountpoint], repository: undefined, ns: undefined }, context.env, currentFolder())
  const secrets = await readSecrets(args, context)
  await startDaemon().mount(config, waitNotice(config, context.output), secrets)
  try {
    const file = chooseFile(mountpoint, args.partition, shown)
    const place = { id, mountpoint: Buffer.from(mountpoint).toString('hex'), file: file.toString('hex') }
    const { number } = addMap(runtime, { ...place, source: shown })
    const device = devicePath(number)
    const nodes = readdirSync('/dev').filter((name) => name.startsWith(`${device.slice('/dev/'.length)}p`))
    context.output.out(`${device}\n`)
    for (const node of nodes.sort(byNumber)) context.output.out(`/dev/${node}\n`)
    context.output.err(`${escapeName(file)} of ${shown}, read only; remove it with: pbsfs unmap ${device}\n`)
    if (args.partition !== undefined) context.output.err(mountAdvice(mountpoint, escapeName(file), device))
    return EXIT.ok
  } catch (error) {
    await leaveMount({ mountpoint: Buffer.from(mountpoint), cwd: Buffer.from('/'), lazy: true }, kernelMountTable)
    throw error
  }
}

/** What to mount: the image, or with `--partition` the folder of what is inside it. */
async function imageSource(args: MapArguments, env: NodeJS.ProcessEnv): Promise<{ source: Buffer; shown: string }> {
  const text = sourceText(args, env)
  const resolved = await resolveSource(parseSource(text), { cwd: currentFolder() })
  const selector: Selector | undefined = resolved.kind === 'store' ? resolved.selector : undefined
  if (resolved.kind !== 'store' || selector?.archive === undefined || /\.(?:[mp]?pxar|pcat1|blob|conf)$/.test(imageName(selector.archive))) {
    const given = escapeName(text)
    throw new UsageError(`${given} is not a disk image`, { remedy: 'Name one: STORE::vm/100/latest/drive-scsi0.img' })
  }
  const archive = imageName(selector.archive)
  if (args.partition !== undefined && selector.inside !== undefined) {
    throw new UsageError('--partition and a volume behind the image exclude each other')
  }
  const wanted = { ...selector, archive: args.partition === undefined ? archive : `${archive}.parts` }
  const store = escapeName(Buffer.from(resolved.path)).replaceAll('::', '\\x3a\\x3a')
  return { source: Buffer.from(`${store}::${formatSelector(wanted)}`), shown: `${store}::${formatSelector({ ...selector, archive })}` }
}

function sourceText(args: MapArguments, env: NodeJS.ProcessEnv): Buffer {
  const source = args.operands[0]
  if (source === undefined || source === '') throw new UsageError('the source is missing')
  if (args.image === undefined) return storeSourceText(source, args, env)
  const missing = 'SNAPSHOT IMAGE needs --repository (or PBS_REPOSITORY): the path or name of the store'
  return vendorPlaceText({ snapshot: source, archive: args.image }, args, env, missing)
}

function imageName(archive: string): string {
  return archive.replace(/\.(?:fidx|didx)$/, '')
}

/** The file in the mount that becomes the device. */
function chooseFile(mountpoint: string, partition: string | undefined, shown: string): Buffer {
  const names = readdirSync(mountpoint, { encoding: 'buffer' }).filter((name) => name.toString('latin1') !== README_NAME)
  if (partition === undefined) {
    if (names.length === 1) return names[0]!
    throw new UsageError(`${shown} is not a disk image`)
  }
  const number = /^(?:p)?(\d+)$/.exec(partition)?.[1]
  const wanted = escapeName(argToBytes(partition))
  const found = names.filter((name) => {
    const text = escapeName(name)
    if (text.endsWith('.txt')) return false
    if (number !== undefined) return new RegExp(`^p${number}[-.]`).test(text)
    return text === wanted || text.replace(/\.\w+$/, '') === wanted
  })
  if (found.length === 1 && existsSync(Buffer.concat([Buffer.from(`${mountpoint}/`), found[0]!]))) return found[0]!
  const there = names.map((name) => escapeName(name)).join(', ')
  throw new UsageError(`${shown} has no partition or volume ${wanted}`, { remedy: there === '' ? 'Nothing was found in it.' : `There are: ${there}` })
}

/** What the README beside the volumes says of mounting this one, for the device. */
function mountAdvice(folder: string, file: string, device: string): string {
  const lines = readFileSync(join(folder, README_NAME), 'utf8').split('\n')
  const from = lines.indexOf(file) + 1
  const about = lines.slice(from, lines.indexOf('', from)).map((line) => line.trim())
  const options = about.map((line) => /^mount -o loop,(\S+) /.exec(line)?.[1]).find((found) => found !== undefined)
  const notes = about.filter((line) => line.startsWith('NOTE: ')).map((line) => `${line}\n`)
  return (options === undefined ? '' : `mount it with: mount -o ${options} ${device} /mnt\n`) + notes.join('')
}

function byNumber(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1)
}
