/** Over this many PCs, a dangerous action wants their number typed. */
export const TYPED_OVER = 100;

/** Whether an action on `count` PCs wants the number typed. */
export function needsTyping(count: number): boolean {
  return count > TYPED_OVER;
}
