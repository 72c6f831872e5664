/**
 * Told before weights are read. While a model is loaded: parameters that are there, parameters in all, and the next one's
 * name. While a streamed model runs: blocks that are done, blocks in all, and what is read next; a run does not give the
 * event loop a turn, so only what is synchronous is seen at once.
 */
export type LoadProgress = (done: number, total: number, param: string) => void;
