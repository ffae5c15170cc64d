import type { OutputView, ResultView } from '@/api/types';

/** PCs that gave the same answer. */
export interface Fold {
  key: string;
  /** One of them, which stands for all. */
  first: ResultView;
  results: ResultView[];
}

/** Of each PC its newest attempt, in the order in which the PCs first answered. */
export function newestOfEach(results: readonly ResultView[]): ResultView[] {
  const byPc = new Map<string, ResultView>();
  for (const result of results) {
    const known = byPc.get(result.pc_id);
    if (known === undefined || result.attempt >= known.attempt) byPc.set(result.pc_id, result);
  }
  return [...byPc.values()];
}

/**
 * Puts equal answers together. While more may come, a fold stays where its first answer put it;
 * in the end what did not go well comes first, and then what most PCs say.
 */
export function fold(results: readonly ResultView[], ended: boolean, each: boolean): Fold[] {
  const folds = new Map<string, Fold>();
  for (const result of newestOfEach(results)) {
    const key = each ? result.pc_id : answerKey(result);
    const known = folds.get(key);
    if (known === undefined) folds.set(key, { key, first: result, results: [result] });
    else known.results.push(result);
  }
  const list = [...folds.values()];
  return ended
    ? list.sort((a, b) => rank(a) - rank(b) || b.results.length - a.results.length)
    : list;
}

function rank({ first }: Fold): number {
  return first.outcome === 'ok' ? 1 : 0;
}

function answerKey(result: ResultView): string {
  const { outcome, exit_code, reason, stdout, stderr } = result;
  return JSON.stringify([outcome, exit_code, reason?.text, outputKey(stdout), outputKey(stderr)]);
}

/** Outputs that were cut may differ in what is gone. */
function outputKey(output: OutputView): unknown {
  return [output.sha256 ?? output.head, output.truncated_bytes ?? 0];
}
