import { statfsSync } from 'node:fs'

const ROOM_BYTES = 200 * 1024 * 1024

/** What is to be said of the disk that a folder is on; undefined while there is room on it. */
export function roomComplaint(folder: string, statfs = statfsSync): string | undefined {
  const { bavail, bsize } = statfs(folder)
  return bavail * bsize < ROOM_BYTES
    ? `has ${Math.floor((bavail * bsize) / 1024 / 1024)} MiB of disk left: make room; with none, no event is taken`
    : undefined
}
