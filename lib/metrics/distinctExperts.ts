/**
 * Different experts of one layer that some tokens need together, on average, where each draws its own at random:
 * E (1 − (1 − k/E)^n). Real tokens resemble each other and need fewer.
 * @example expectedDistinctExperts(16, 4, 2) // 7
 */
export function expectedDistinctExperts(nExperts: number, topK: number, nTokens: number): number {
  return nExperts * (1 - (1 - topK / nExperts) ** nTokens);
}
