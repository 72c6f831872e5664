import { loadModel } from "../checkpoint/folder.ts";
import type { MoeModel } from "../model.ts";
import { realNumber, UsageError } from "./command.ts";
import { progressLine } from "./progress.ts";

/** The option of every command that runs a model, for its details. */
export const MEMORY_HELP =
  "--memory  gigabytes for weights: a model that needs more stays on disk, and each run reads what it uses";

/**
 * Loads a model, or opens it to be streamed, with a line of progress as long as it loads, and while a streamed one runs.
 * @param memory what --memory says
 * @returns the model, and what clears the line when it has run
 * @throws UsageError for what is no number of gigabytes, and what `loadModel` throws
 */
export async function openModel(
  folder: string,
  memory: string | undefined,
): Promise<{ model: MoeModel; clearLine: () => void }> {
  const budget = memory === undefined ? undefined : 1e9 * realNumber("--memory", memory);
  if (budget !== undefined && budget <= 0) throw new UsageError(`moescope: --memory must be above 0, got ${memory}`);
  const line = progressLine();
  const model = await loadModel(folder, {
    ...(budget === undefined ? {} : { memoryBudget: budget }),
    onProgress: (done, total, what) => line.show(`${folder}  ${done}/${total}  ${what}`),
  });
  line.clear();
  return { model, clearLine: () => line.clear() };
}
