import type { ButtonHTMLAttributes, ReactNode } from 'react';

const KINDS = {
  plain: 'border-strong-line bg-bg hover:bg-hover',
  main: 'border-accent bg-accent text-on-accent hover:opacity-90',
  danger: 'border-bad text-bad bg-bg hover:bg-bad-soft',
  quiet: 'border-transparent hover:bg-hover',
} as const;

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: keyof typeof KINDS;
  /** Why it can't be pressed now; it stays reachable, and says so. */
  blocked?: string | undefined;
  children: ReactNode;
}

/** The look of a button, for links that are shown as one. */
export function buttonClass(kind: keyof typeof KINDS = 'plain'): string {
  return `inline-flex min-h-8 items-center justify-center gap-1.5 rounded border px-2.5 whitespace-nowrap ${KINDS[kind]}`;
}

export function Button({ kind = 'plain', blocked, className = '', onClick, ...rest }: Props) {
  const isBlocked = blocked !== undefined;
  return (
    <button
      type="button"
      {...rest}
      {...(isBlocked ? { 'aria-disabled': true, title: blocked } : {})}
      onClick={(event) => {
        if (isBlocked) event.preventDefault();
        else onClick?.(event);
      }}
      className={`${buttonClass(kind)} ${isBlocked || rest.disabled === true ? 'opacity-60' : ''} ${className}`}
    />
  );
}
