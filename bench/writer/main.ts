import { writeParts, type PartSpec } from './parts.js'

// node main.js FOLDER PARTS: a process of its own, so that the memory it takes is gone when figures are taken.
writeParts(process.argv[2]!, JSON.parse(process.argv[3]!) as PartSpec[])
