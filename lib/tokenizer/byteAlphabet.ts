/**
 * The alphabet in which byte-level tokenizers (GPT-2 and after) write bytes as printable characters: a byte that prints
 * in Latin-1 stands for itself, the others take the characters from U+0100 on, in order.
 */
export const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(prints ? byte : next++);
  });
})();

const BYTES: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]));

/** Bytes in the alphabet's characters, one for each byte. */
export function charactersOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += BYTE_CHARACTERS[byte]!;
  return text;
}

/** The bytes that characters of the alphabet stand for, or null where one is not of the alphabet. */
export function bytesOf(characters: string): Uint8Array | null {
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < characters.length; i++) {
    const byte = BYTES.get(characters[i]!);
    if (byte === undefined) return null;
    bytes[i] = byte;
  }
  return bytes;
}
