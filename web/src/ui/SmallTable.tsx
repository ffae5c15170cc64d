import type { ReactNode } from 'react';

/** One column of a short table; on narrow screens those with `wide` are left out. */
export interface SmallColumn<T> {
  title: string;
  number?: boolean;
  wide?: boolean;
  cell: (row: T) => ReactNode;
}

/** A table of a few rows, all of them drawn. */
export function SmallTable<T>(props: {
  name: string;
  columns: readonly SmallColumn<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
}) {
  const cell = (column: SmallColumn<T>) =>
    `border-line border-b py-1.5 pr-4 align-top ${column.number === true ? 'text-right' : 'text-left'} ${column.wide === true ? 'max-md:hidden' : ''}`;
  return (
    <div className="overflow-x-auto" tabIndex={0} role="region" aria-label={props.name}>
      <table className="w-full">
        <thead>
          <tr>
            {props.columns.map((column) => (
              <th
                key={column.title}
                scope="col"
                className={`${cell(column)} text-muted font-medium whitespace-nowrap`}
              >
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row) => (
            <tr key={props.keyOf(row)}>
              {props.columns.map((column) => (
                <td
                  key={column.title}
                  className={`${cell(column)} ${column.number === true ? 'mono' : ''}`}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
