/** The kinds of text in the training corpus. */
export const KINDS = ["english", "japanese", "spanish", "typescript", "python", "maths", "structured"] as const;

export type Kind = (typeof KINDS)[number];

/** One text of the corpus, kept whole: a chapter, a file, a sheet of problems. */
export interface Document {
  kind: Kind;
  /** The source's id in the manifest. */
  source: string;
  /** Unique within its source: a path, a book and chapter, a seed. */
  name: string;
  text: string;
}
