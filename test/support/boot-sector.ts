/** Bytes of a sector of any disk here. */
export const SECTOR = 512

/** What a machine does when it has done its work. */
export type Ending =
  /** Starts anew, which ends QEMU with 0 when it has -no-reboot. */
  | 'reset'
  /** Does nothing more. */
  | 'halt'

/** What a boot sector says of the second sector of its disk: the digit becomes one more each time. */
export function textSector(digit: number, text = ''): Buffer {
  return sectorOf(`run ${digit}${text}\r\n`)
}

/** A sector with a text, as the boot sector prints it. */
export function sectorOf(text: string): Buffer {
  const sector = Buffer.alloc(SECTOR)
  sector.write(text, 'latin1')
  return sector
}

/**
 * A boot sector, 16-bit code at 0x7c00: reads the second sector of its disk with the BIOS (interrupt 0x13), prints its text on
 * the first serial port, adds one to the digit at offset 4, writes the sector back, and prints the first sector of the second disk.
 * When a read or write fails it ends QEMU by `-device isa-debug-exit,iobase=0xf4`, with 65.
 */
export function bootSector(ending: Ending): Buffer {
  const tail = ending === 'reset' ? 'b0fe e664' : '9090 9090' // mov $0xfe,%al; out %al,$0x64 (the keyboard controller resets) | nop
  const code = [
    '31c0 8ed8 8ec0 8ed0', //  00 ds, es, ss = 0
    'bc007c', //               08 sp = 0x7c00
    'bb007e', //               0b bx: buffer at 0x7e00
    'b80102 b90200 ba8000', // 0e read one sector: cylinder 0, sector 2 (they count from 1), head 0 of disk 0x80
    'cd13 7231', //            17 int 0x13; failed: 4c
    'be007e e83600', //        1b print from 0x7e00: 57
    'fe06 047e', //            21 add one to the byte at 0x7e04
    'b80103 b90200 ba8000', // 25 write it
    'cd13 721a', //            2e int 0x13; failed: 4c
    'b80102 b90100 ba8100', // 32 read sector 1 of disk 0x81
    'cd13 720d', //            3b int 0x13; failed: 4c
    'be007e e81200', //        3f print: 57
    tail, //                   45
    'f4 ebfd', //              49 hlt, for ever
    'b020 baf400 ee', //       4c out 0x20 to 0xf4
    'f4 ebfd 9090', //         52 hlt, for ever
    'baf803', //               57 dx: the first serial port
    'ac 84c0 7403 ee ebf8', // 5a next byte; 0 is the end; print it; again
    'c3', //                   62
  ].join('').replaceAll(' ', '') // prettier-ignore
  const sector = Buffer.alloc(SECTOR)
  sector.write(code, 'hex')
  sector.write('55aa', 510, 'hex')
  return sector
}
