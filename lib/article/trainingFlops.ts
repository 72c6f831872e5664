/** FLOPs of one training step for each parameter that a token uses: two forward, four backward. */
const FLOPS_PER_PARAMETER = 6;

/**
 * FLOPs of training: 6 N D.
 * @param active parameters that a token uses
 * @see Kaplan et al. 2020, arXiv:2001.08361, section 2.1; attention's own products and the embedding are left out
 * @example trainingFlops(36.5e9, 12e12) // 2.6e24
 */
export function trainingFlops(active: number, tokens: number): number {
  return FLOPS_PER_PARAMETER * active * tokens;
}
