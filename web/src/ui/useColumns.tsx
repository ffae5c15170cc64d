import { useId, useState, type ReactNode } from 'react';

import { useText } from '@/i18n/text';

import { buttonClass } from './Button';
import type { Column } from './DataTable';

/**
 * Lets people choose which columns a list shows; the choice stays in this browser. The first
 * column is always there, since it leads to the thing itself.
 */
export function useColumns<T>(
  list: string,
  columns: readonly Column<T>[],
): { shown: readonly Column<T>[]; choice: ReactNode } {
  const { t } = useText();
  const id = useId();
  const key = `kanade.columns.${list}`;
  const [hidden, setHidden] = useState<ReadonlySet<string>>(() => readHidden(key));
  const toggle = (column: string) => {
    const next = new Set(hidden);
    if (!next.delete(column)) next.add(column);
    localStorage.setItem(key, [...next].join(','));
    setHidden(next);
  };
  const shown = columns.filter((column) => !hidden.has(column.id));
  const choice = (
    <span className="inline-block max-sm:hidden">
      <button type="button" popoverTarget={id} className={buttonClass('quiet')}>
        {t.common.columns}
      </button>
      <span
        id={id}
        popover="auto"
        className="border-line bg-bg text-text below rounded border p-3 shadow-xl"
      >
        <span className="flex flex-col gap-1">
          {columns.slice(1).map((column) => (
            <label key={column.id} className="inline-flex items-center gap-2">
              <input
                type="checkbox"
                checked={!hidden.has(column.id)}
                onChange={() => toggle(column.id)}
              />
              {column.title}
            </label>
          ))}
        </span>
      </span>
    </span>
  );
  return { shown, choice };
}

function readHidden(key: string): ReadonlySet<string> {
  return new Set((localStorage.getItem(key) ?? '').split(',').filter((id) => id !== ''));
}
