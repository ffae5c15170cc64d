import type { Targets } from '@/api/types';
import type { Messages } from '@/i18n/en';
import type { Format } from '@/i18n/format';

/** Whom an operator named, as a sentence part. */
export function targetsText(targets: Targets, t: Messages, format: Format): string {
  const named = [
    ...(targets.all === true ? [t.targets.all] : []),
    ...(targets.groups ?? []).map(t.targets.group),
    ...(targets.pcs ?? []).map(t.targets.pc),
  ];
  const not = [
    ...(targets.not_groups ?? []).map(t.targets.group),
    ...(targets.not_pcs ?? []).map(t.targets.pc),
  ];
  const hit = format.list(named);
  return not.length === 0 ? hit : `${hit}, ${t.targets.not(format.list(not))}`;
}
