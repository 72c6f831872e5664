/** A piece of a document that is read in one go. */
export interface Window {
  document: number;
  /** Where its first prediction goes among all documents' predictions. */
  at: number;
  tokens: Int32Array;
}

/** Windows of about one length, as the rows of one run. */
export interface Batch {
  windows: readonly Window[];
  /**
   * The windows' tokens, [batch, pos]. Shorter ones are filled up with token 0 behind their end: no token sees a later one,
   * and routing has no capacity, so nothing before the filling changes.
   */
  rows: readonly Int32Array[];
}

/** How documents are read. */
export interface ReadingOptions {
  /** Most tokens read in one go; longer documents are cut into windows. The model's context where absent. */
  pos?: number;
  /** Windows of one run; 16 where absent. */
  batch?: number;
}

/**
 * Cuts documents into windows of at most `pos` tokens. A window begins with the last token of the one before it, so that
 * every token but a document's first is predicted once. Windows of a batch are of about the same length.
 * @returns the batches, and where each document's predictions begin: [n_documents + 1]
 * @throws RangeError for no documents, or one of fewer than two tokens
 */
export function batchesOf(
  where: string,
  documents: readonly ArrayLike<number>[],
  nCtx: number,
  { pos = nCtx, batch = 16 }: ReadingOptions,
): { batches: Batch[]; offsets: Int32Array } {
  if (!Number.isInteger(pos) || pos < 2 || pos > nCtx)
    throw new RangeError(`${where}: pos must be a whole number from 2 to ${nCtx} (the context), got ${pos}`);
  if (!Number.isInteger(batch) || batch < 1)
    throw new RangeError(`${where}: batch must be a whole number of at least 1, got ${batch}`);
  if (documents.length === 0) throw new RangeError(`${where}: there must be at least one document, got none`);
  const offsets = new Int32Array(documents.length + 1);
  const windows: Window[] = [];
  for (const [d, document] of documents.entries()) {
    if (!(document.length >= 2))
      throw new RangeError(`${where}: a document must have at least two tokens, got ${document.length} in number ${d}`);
    for (let start = 0; start + 1 < document.length; start += pos - 1) {
      const length = Math.min(pos, document.length - start);
      const tokens = Int32Array.from({ length }, (_, i) => document[start + i]!);
      windows.push({ document: d, at: offsets[d]! + start, tokens });
    }
    offsets[d + 1] = offsets[d]! + document.length - 1;
  }
  windows.sort((a, b) => b.tokens.length - a.tokens.length);
  const batches: Batch[] = [];
  for (let i = 0; i < windows.length; i += batch) {
    const own = windows.slice(i, i + batch);
    const rows = own.map(({ tokens }) => {
      const row = new Int32Array(own[0]!.tokens.length);
      row.set(tokens);
      return row;
    });
    batches.push({ windows: own, rows });
  }
  return { batches, offsets };
}
