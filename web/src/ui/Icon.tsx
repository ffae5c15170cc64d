/** Line drawings on a grid of 16; they say nothing that isn't beside them in words. */
const PATHS = {
  check: 'M3 8.5l3.2 3.2L13 4.8',
  cross: 'M4 4l8 8M12 4l-8 8',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.8 10.8L14 14',
  menu: 'M2 4h12M2 8h12M2 12h12',
  collapse: 'M10 3L5 8l5 5',
  expand: 'M6 3l5 5-5 5',
  down: 'M3 6l5 5 5-5',
  up: 'M3 10l5-5 5 5',
  copy: 'M6 6V2.5h7.5V10H10M2.5 6H10v7.5H2.5z',
  overview: 'M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5H9z',
  agents: 'M2 3h12v8H2zM5.5 13.5h5M8 11v2.5',
  groups: 'M3 3h4v4H3zM9 9h4v4H9zM7 5h4v4',
  run: 'M4.5 2.8v10.4L13 8z',
  execs: 'M2 4h2M6 4h8M2 8h2M6 8h8M2 12h2M6 12h8',
  jobs: 'M4 1.8h5.5L12.5 5v9.2H4zM9.2 2v3.3h3.3M6 8.5h4.5M6 11h4.5',
  audit: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.4 1.6',
  system: 'M2 9h2.5l2-5 3 8.5 2-5H14',
  settings: 'M2 5h6M12 5h2M10 3v4M2 11h2M8 11h6M6 9v4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, className = '' }: { name: IconName; className?: string }) {
  return (
    <svg
      viewBox="0 0 16 16"
      className={`size-4 shrink-0 ${className}`}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
