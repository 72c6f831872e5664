/** Bytes that can be read from any place: a file, memory, a range of a network resource. */
export interface ByteSource {
  /** What error messages call it, such as the path of a file. */
  readonly name: string;
  readonly byteLength: number;
  /** The open file's number, where it is a file: by it, other threads read it too. */
  readonly file?: number;
  /**
   * The bytes from `start` up to, not including, `end`: exactly `end - start` of them, 0 ≤ start ≤ end ≤ byteLength.
   * The caller only reads them and keeps none.
   */
  read(start: number, end: number): Promise<Uint8Array>;
  /** Releases what reading needs, such as an open file. */
  close(): Promise<void>;
}

/** Bytes that are in memory already; reads are views, not copies. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    byteLength: bytes.length,
    read: async (start, end) => bytes.subarray(start, end),
    close: async () => {},
  };
}

/** Where the bytes of a file go, in order; it keeps none of them. */
export type ByteSink = (bytes: Uint8Array) => Promise<void>;
