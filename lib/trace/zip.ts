import { CheckpointError, shown } from "../errors.ts";

/** A file in an archive, still packed. */
export interface ZipEntry {
  name: string;
  packed: Uint8Array;
  isDeflated: boolean;
  /** Bytes when unpacked, as the archive says. */
  size: number;
  crc: number;
}

/** What all files of an archive may unpack to: a recording of hours, and less than what makes a machine swap. */
export const MAX_UNPACKED_BYTES = 1 << 30;

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;

/** @returns whether bytes begin as a zip archive does */
export function isZip(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true) === LOCAL;
}

/**
 * The files of a zip archive of less than 4 GB, stored or deflated.
 * @throws CheckpointError for an archive that is damaged or whose files overlap, repeat a name, or unpack to too much
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
export function zipEntries(where: string, bytes: Uint8Array): Map<string, ZipEntry> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const refuse = (expected: string, got: unknown): never => {
    throw new CheckpointError(`${where}: archive must ${expected}, got ${shown(got)}`);
  };
  const end = endRecord(view);
  if (end === null) return refuse("end with its directory", "none (is the file whole?)");
  const count = view.getUint16(end + 10, true);
  const directory = view.getUint32(end + 16, true);
  if (directory + view.getUint32(end + 12, true) > end) refuse(`have its directory before byte ${end}`, directory);

  const entries = new Map<string, ZipEntry>();
  const ranges: [start: number, end: number][] = [];
  let unpacked = 0;
  for (let i = 0, at = directory; i < count; i++) {
    if (at + 46 > end || view.getUint32(at, true) !== CENTRAL) refuse(`list ${count} files`, i);
    const [flags, method, nameLength] = [
      view.getUint16(at + 8, true),
      view.getUint16(at + 10, true),
      view.getUint16(at + 28, true),
    ];
    const [crc, packedSize] = [view.getUint32(at + 16, true), view.getUint32(at + 20, true)];
    const [size, local] = [view.getUint32(at + 24, true), view.getUint32(at + 42, true)];
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    if ((flags & 1) !== 0 || (method !== 0 && method !== 8))
      refuse(`have ${shown(name)} stored or deflated`, (flags & 1) !== 0 ? "encrypted" : `method ${method}`);
    if (/\p{Cc}/u.test(name)) refuse("name its files in printable characters", name);
    if (entries.has(name)) refuse("give each name once", name);
    unpacked += size;
    if (unpacked > MAX_UNPACKED_BYTES) refuse(`unpack to at most ${MAX_UNPACKED_BYTES} bytes`, unpacked);
    if (local + 30 > directory || view.getUint32(local, true) !== LOCAL)
      refuse(`hold ${shown(name)}`, `none at ${local}`);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (start + packedSize > directory) refuse(`end before its directory (${directory})`, start + packedSize);
    if (method === 0 && packedSize !== size) refuse(`store ${shown(name)} as it is, in ${size} bytes`, packedSize);
    ranges.push([local, start + packedSize]);
    const packed = bytes.subarray(start, start + packedSize);
    entries.set(name, { name, packed, isDeflated: method === 8, size, crc });
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  ranges.sort(([a], [b]) => a - b);
  for (const [i, [start]] of ranges.entries())
    if (start < (ranges[i - 1]?.[1] ?? 0)) refuse("have its files one after the other", "two that overlap");
  return entries;
}

/** Where the record at the very end of an archive starts; behind it is only its comment. */
function endRecord(view: DataView): number | null {
  for (let at = view.byteLength - 22; at >= Math.max(0, view.byteLength - 22 - 0xffff); at--)
    if (view.getUint32(at, true) === END && at + 22 + view.getUint16(at + 20, true) === view.byteLength) return at;
  return null;
}

/**
 * The bytes of a file in an archive.
 * @throws CheckpointError where they are not those that the archive promises
 */
export async function unzip(where: string, entry: ZipEntry): Promise<Uint8Array> {
  const { name, size } = entry;
  const bytes = entry.isDeflated ? await inflate(where, entry) : entry.packed;
  if (bytes.length !== size || crc32(bytes) !== entry.crc)
    throw new CheckpointError(`${where}: ${shown(name)} must unpack to what was packed, got other bytes`);
  return bytes;
}

async function inflate(where: string, { name, packed, size }: ZipEntry): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let length = 0;
  try {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    for await (const chunk of stream) {
      if (length + chunk.length > size) throw new RangeError(`more than ${size} bytes`);
      bytes.set(chunk, length);
      length += chunk.length;
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError(`${where}: ${shown(name)} must unpack to ${size} bytes, got ${shown(reason)}`, { cause });
  }
  return bytes.subarray(0, length);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) * 0xedb88320);
  return crc;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]!) & 255]!;
  return ~crc >>> 0;
}
