import * as tf from "@tensorflow/tfjs";
import { Recording } from "./tensorflowRecorder.ts";

/** What a function of tensors made, and what else is to be known of it, the same at each call. */
export interface Made<Note> {
  outputs: tf.Tensor[];
  note: Note;
}

/** Recordings that are held; those used longest ago go first. Each holds some shapes and axes. */
const MOST = 512;

/**
 * Runs functions of tensors, and from the second time on, with inputs of the same shapes, as one graph of TensorFlow's: an
 * operation by itself costs 0.1 ms and more beside its work, and none runs beside another. To the same bits: what runs was recorded.
 * Elsewhere than on `tensorflow`, and where gradients are taken, functions just run.
 */
export class Replays<Note> {
  readonly #weights: () => Iterable<tf.Tensor>;
  readonly #known = new Map<string, { recording: Recording | null; note: Note }>();

  /** @param weights what functions read beside their inputs, and what lives longer than this object */
  constructor(weights: () => Iterable<tf.Tensor>) {
    this.#weights = weights;
  }

  /**
   * @param name of the function: with inputs of the same shapes, the same name must do the same operations
   * @param inputs all tensors that it reads and that are no weights
   */
  run(name: string, inputs: readonly tf.Tensor[], f: () => Made<Note>): Made<Note> {
    if (tf.getBackend() !== "tensorflow" || tf.engine().isTapeOn()) return f();
    const key = [name, ...inputs.map(({ shape }) => shape.join("x"))].join();
    const known = this.#known.get(key);
    if (known !== undefined) {
      this.#known.delete(key);
      this.#known.set(key, known);
      return known.recording === null ? f() : { outputs: known.recording.replay(inputs), note: known.note };
    }
    let note: Note;
    const { outputs, recording } = Recording.make(inputs, this.#weights(), () => {
      const made = f();
      note = made.note;
      return made.outputs;
    });
    this.#known.set(key, { recording, note: note! });
    if (this.#known.size > MOST) this.#forget(this.#known.keys().next().value!);
    return { outputs, note: note! };
  }

  dispose(): void {
    for (const key of this.#known.keys()) this.#forget(key);
  }

  #forget(key: string): void {
    this.#known.get(key)!.recording?.dispose();
    this.#known.delete(key);
  }
}
