import { useEffect, useRef, useState } from 'react';

import { useText } from '@/i18n/text';

import { Icon } from './Icon';

const TYPING_MS = 200;

/** One filter as a chip: its name and value, and a way to take it off. */
export function FilterChip<T extends string>(props: {
  name: string;
  value: T | undefined;
  options: readonly { value: T; label: string }[];
  onChange: (value: T | undefined) => void;
}) {
  const { t } = useText();
  const set = props.value !== undefined;
  return (
    <span
      className={`inline-flex min-h-8 items-center rounded-full border pl-3 ${set ? 'border-accent bg-accent-soft' : 'border-line pr-2'}`}
    >
      <label className="flex items-center gap-1">
        <span className="text-muted">{props.name}</span>
        <select
          value={props.value ?? ''}
          onChange={(event) => {
            props.onChange(props.options.find(({ value }) => value === event.target.value)?.value);
          }}
          className="field-sizing-content max-w-40 rounded bg-transparent py-1"
        >
          <option value="" className="bg-bg">
            {t.common.any}
          </option>
          {props.options.map(({ value, label }) => (
            <option key={value} value={value} className="bg-bg">
              {label}
            </option>
          ))}
        </select>
      </label>
      {set && (
        <button
          type="button"
          aria-label={t.common.clearFilter(props.name)}
          onClick={() => props.onChange(undefined)}
          className="hover:bg-hover mr-0.5 rounded-full p-1.5"
        >
          <Icon name="cross" className="!size-3" />
        </button>
      )}
    </span>
  );
}

/** A text to filter by; `/` leads here from anywhere on the page. */
export function SearchBox(props: {
  value: string | undefined;
  placeholder: string;
  onChange: (value: string | undefined) => void;
}) {
  const { t } = useText();
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  // What is being typed; the address follows when the person pauses.
  const [typed, setTyped] = useState<string>();
  const type = (text: string) => {
    setTyped(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => props.onChange(text.trim() || undefined), TYPING_MS);
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== '/' || isTyping(event.target)) return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <label className="border-line focus-within:border-accent inline-flex min-h-8 items-center gap-1.5 rounded-full border px-3">
      <Icon name="search" className="text-muted" />
      <span className="sr-only">{t.common.search}</span>
      <input
        ref={input}
        type="search"
        value={typed ?? props.value ?? ''}
        placeholder={props.placeholder}
        onChange={(event) => type(event.target.value)}
        onBlur={() => setTyped(undefined)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') event.currentTarget.blur();
        }}
        className="w-40 bg-transparent outline-none"
      />
    </label>
  );
}

/** Whether keys go into a field now, and are no commands. */
export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName))
  );
}
