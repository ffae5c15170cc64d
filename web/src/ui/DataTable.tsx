import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useEffectEvent, useRef, useState, type ReactNode } from 'react';

import { useText } from '@/i18n/text';

import { isTyping } from './Filters';
import { Icon } from './Icon';

const ROW_PX = 36;
const OVERSCAN = 12;
/** Rows before the end at which the next page is asked for. */
const AHEAD = 150;
/** Scrolled less than this counts as being at the top. */
const TOP_PX = 40;

/** One column; on narrow screens those with `from` are left out. */
export interface Column<T> {
  id: string;
  title: string;
  /** CSS width; one column at least should have none and takes what is left. */
  width?: string;
  from?: 'sm' | 'md' | 'lg' | 'xl';
  /** What `sort` of the API sorts by this column. */
  sort?: string;
  number?: boolean;
  cell: (row: T) => ReactNode;
}

const FROM = {
  sm: 'max-sm:hidden',
  md: 'max-md:hidden',
  lg: 'max-lg:hidden',
  xl: 'max-xl:hidden',
} as const;

interface Props<T> {
  /** What the table holds, for those who don't see it. */
  name: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  sort?: string | undefined;
  onSort?: (sort: string) => void;
  selected?: ReadonlySet<string>;
  onSelect?: (selected: ReadonlySet<string>) => void;
  /** Whether there are more rows, and who reads them. */
  hasMore?: boolean;
  onMore?: () => void;
  /** Rows that are new and not in `rows` yet; they wait while the list is scrolled. */
  arrivals?: number;
  onArrivals?: () => void;
}

/**
 * A long table that draws only the rows in sight. `j` and `k` move, `x` selects, Enter follows
 * the link of the row, which is the first one in it.
 */
export function DataTable<T>(props: Props<T>) {
  const { t } = useText();
  const scroll = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: props.rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
  });
  const { active, setActive } = useKeys(props, scroll, (index) =>
    virtual.scrollToIndex(index, { align: 'auto' }),
  );

  const items = virtual.getVirtualItems();
  const lastShown = items.at(-1)?.index ?? 0;
  const wantsMore = props.hasMore === true && lastShown >= props.rows.length - AHEAD;
  const more = useEffectEvent(() => props.onMore?.());
  useEffect(() => {
    if (wantsMore) more();
  }, [wantsMore, props.rows.length]);

  const arrivals = props.arrivals ?? 0;
  const atTop = (virtual.scrollOffset ?? 0) < TOP_PX;
  const showArrivals = useEffectEvent(() => props.onArrivals?.());
  useEffect(() => {
    if (arrivals > 0 && atTop) showArrivals();
  }, [arrivals, atTop]);

  const before = items[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <div className="relative flex min-h-0 grow flex-col">
      {arrivals > 0 && !atTop && (
        <button
          type="button"
          className="bg-accent text-on-accent absolute top-10 left-1/2 z-20 -translate-x-1/2 rounded-full px-3 py-1 shadow"
          onClick={() => {
            virtual.scrollToOffset(0);
            props.onArrivals?.();
          }}
        >
          ↑ {t.common.newRows(arrivals)}
        </button>
      )}
      <div
        ref={scroll}
        role="region"
        aria-label={t.common.table(props.name)}
        // A region that scrolls has to be reachable by keyboard.
        tabIndex={0}
        className="border-line -mt-px min-h-0 grow overflow-auto border-t"
      >
        <table
          className="w-full table-fixed border-separate border-spacing-0"
          aria-rowcount={props.hasMore === true ? -1 : props.rows.length + 1}
        >
          <Head {...props} />
          <tbody>
            <Spacer height={before} />
            {items.map(({ index }) => {
              const row = props.rows[index];
              if (row === undefined) return null;
              const key = props.keyOf(row);
              return (
                <tr
                  key={key}
                  data-index={index}
                  aria-rowindex={index + 2}
                  onFocus={() => setActive(index)}
                  style={{ height: ROW_PX }}
                  className={`hover:bg-hover ${index === active ? 'bg-raised' : ''}`}
                >
                  {props.onSelect !== undefined && (
                    <td className="border-line border-b pl-3 md:pl-6">
                      <input
                        type="checkbox"
                        aria-label={t.common.selectRow(key)}
                        checked={props.selected?.has(key) ?? false}
                        onChange={() => props.onSelect?.(toggled(props.selected, key))}
                      />
                    </td>
                  )}
                  {props.columns.map((column) => (
                    <td
                      key={column.id}
                      className={`border-line truncate border-b px-2 first:pl-4 last:pr-4 md:first:pl-6 md:last:pr-6 ${column.number === true ? 'mono text-right' : ''} ${column.from === undefined ? '' : FROM[column.from]}`}
                    >
                      {column.cell(row)}
                    </td>
                  ))}
                </tr>
              );
            })}
            <Spacer height={after} />
          </tbody>
        </table>
        {props.hasMore === true && (
          <p role="status" className="text-muted px-6 py-2">
            {t.common.moreRows}
          </p>
        )}
      </div>
    </div>
  );
}

function Head<T>(props: Props<T>) {
  const { t } = useText();
  const all = props.rows.length > 0 && props.selected?.size === props.rows.length;
  return (
    <thead className="bg-bg sticky top-0 z-10">
      <tr aria-rowindex={1}>
        {props.onSelect !== undefined && (
          <th className="border-line h-8 w-9 border-b pl-3 text-left md:w-12 md:pl-6">
            <input
              type="checkbox"
              aria-label={t.common.selectRow(t.common.all)}
              checked={all}
              onChange={() =>
                props.onSelect?.(new Set(all ? [] : props.rows.map((row) => props.keyOf(row))))
              }
            />
          </th>
        )}
        {props.columns.map((column) => {
          const { sort } = column;
          const up = sort !== undefined && props.sort === sort;
          const down = sort !== undefined && props.sort === `-${sort}`;
          return (
            <th
              key={column.id}
              scope="col"
              {...(column.width === undefined ? {} : { style: { width: column.width } })}
              aria-sort={up ? 'ascending' : down ? 'descending' : undefined}
              className={`border-line text-muted h-8 truncate border-b px-2 font-medium first:pl-4 last:pr-4 md:first:pl-6 md:last:pr-6 ${column.number === true ? 'text-right' : 'text-left'} ${column.from === undefined ? '' : FROM[column.from]}`}
            >
              {sort === undefined ? (
                column.title
              ) : (
                <button
                  type="button"
                  onClick={() => props.onSort?.(up ? `-${sort}` : sort)}
                  className="hover:text-text inline-flex items-center gap-1"
                >
                  {column.title}
                  {(up || down) && <Icon name={up ? 'up' : 'down'} className="!size-3" />}
                </button>
              )}
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

function Spacer({ height }: { height: number }) {
  return height <= 0 ? null : (
    <tr aria-hidden="true">
      <td style={{ height, padding: 0 }} />
    </tr>
  );
}

function toggled(selected: ReadonlySet<string> | undefined, key: string): ReadonlySet<string> {
  const next = new Set(selected);
  if (!next.delete(key)) next.add(key);
  return next;
}

/** The row that the keyboard is at; -1 before the first key. */
function useKeys<T>(
  props: Props<T>,
  scroll: React.RefObject<HTMLDivElement | null>,
  scrollTo: (index: number) => void,
) {
  const [active, setActive] = useState(-1);
  const move = (by: number) => {
    const next = Math.max(0, Math.min(props.rows.length - 1, active + by));
    setActive(next);
    scrollTo(next);
    // The row may come into being only by the scrolling.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        scroll.current
          ?.querySelector<HTMLElement>(`tr[data-index="${String(next)}"] a`)
          ?.focus({ preventScroll: true });
      }),
    );
  };
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    const inField = isTyping(event.target) && !isCheckbox(event.target);
    if (inField || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector('dialog[open]') !== null || props.rows.length === 0) return;
    if (event.key === 'j') move(1);
    else if (event.key === 'k') move(-1);
    else if (event.key === 'x') {
      const row = props.rows[active];
      if (row !== undefined) props.onSelect?.(toggled(props.selected, props.keyOf(row)));
    }
  });
  useEffect(() => {
    const listener = (event: KeyboardEvent) => onKey(event);
    addEventListener('keydown', listener);
    return () => removeEventListener('keydown', listener);
  }, []);
  return { active, setActive };
}

function isCheckbox(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement && target.type === 'checkbox';
}
