import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Hugging Face transformers in a process of its own (peer.py), asked one thing at a time. */
export class Peer {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(python: string, folder: string, threads: number) {
    const script = join(import.meta.dirname, "peer.py");
    this.#process = spawn(python, [script, "serve", folder, "--threads", String(threads)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#answers = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async ask<T>(command: object): Promise<T> {
    this.#process.stdin!.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error(`peer: ended with code ${this.#process.exitCode}`);
    const answer = JSON.parse(value) as T & { error?: string };
    if (answer.error !== undefined) throw new Error(`peer: ${answer.error}`);
    return answer;
  }

  stop(): void {
    this.#process.stdin!.end();
  }
}
