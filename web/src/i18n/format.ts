/** Numbers, sizes and times as people of a language write them. */
export interface Format {
  number: (value: number) => string;
  percent: (share: number) => string;
  bytes: (value: number) => string;
  /** A length of time in its largest fitting unit, such as `4 min`. */
  duration: (ms: number) => string;
  /** How long before or after `now`, such as `3 min. ago`. */
  relative: (at: Date, now: Date) => string;
  dateTime: (at: Date) => string;
  list: (parts: readonly string[]) => string;
}

type Unit = 'day' | 'hour' | 'minute' | 'second';

const UNITS: readonly (readonly [Unit, number])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
];
const SIZES = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;

/** The format of `language`, a BCP 47 tag. */
export function formatOf(language: string): Format {
  const number = new Intl.NumberFormat(language);
  const percent = new Intl.NumberFormat(language, { style: 'percent', maximumFractionDigits: 0 });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' });
  const dateTime = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' });
  const list = new Intl.ListFormat(language, { style: 'short', type: 'conjunction' });
  const unit = (name: string, value: number, digits = 0) =>
    new Intl.NumberFormat(language, {
      style: 'unit',
      unit: name,
      unitDisplay: 'short',
      maximumFractionDigits: digits,
    }).format(value);
  return {
    number: (value) => number.format(value),
    percent: (share) => percent.format(share),
    bytes: (value) => {
      const power = value < 1 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log2(value) / 10));
      const scaled = value / 1024 ** power;
      return unit(SIZES[power] ?? 'byte', scaled, power > 0 && scaled < 10 ? 1 : 0);
    },
    duration: (ms) => {
      if (ms < 1_000) return unit('millisecond', Math.round(ms));
      const [name, size] = fitting(ms);
      return unit(name, ms / size, ms / size < 10 ? 1 : 0);
    },
    relative: (at, now) => {
      const ms = at.getTime() - now.getTime();
      const [name, size] = fitting(Math.abs(ms));
      return relative.format(Math.trunc(ms / size), name);
    },
    dateTime: (at) => dateTime.format(at),
    list: (parts) => list.format(parts),
  };
}

function fitting(ms: number): readonly [Unit, number] {
  return UNITS.find(([, size]) => ms >= size) ?? ['second', 1_000];
}
