import { createContext, use, useEffect, useMemo, useState, type ReactNode } from 'react';

import type { Messages } from './en';
import { formatOf, type Format } from './format';

/** Every language there is, by its own name. */
export const LANGUAGES = { en: 'English', ja: '日本語' } as const;

export type Language = keyof typeof LANGUAGES;

interface Text {
  t: Messages;
  format: Format;
  language: Language;
  setLanguage: (language: Language) => void;
}

const TextContext = createContext<Text | undefined>(undefined);
const KEY = 'kanade.language';

/** Reads the words of one language; each is a chunk of its own. */
export async function loadMessages(language: Language): Promise<Messages> {
  switch (language) {
    case 'en':
      return (await import('./en')).en;
    case 'ja':
      return (await import('./ja')).ja;
  }
}

/** What the person chose, or else what their browser asks for. */
export function preferredLanguage(): Language {
  const wanted = [localStorage.getItem(KEY) ?? '', ...navigator.languages];
  const known = wanted.map((tag) => tag.slice(0, 2)).find(isLanguage);
  return known ?? 'en';
}

function isLanguage(tag: string): tag is Language {
  return tag in LANGUAGES;
}

/** Gives all below it words and formats; starts with those that were loaded before. */
export function TextProvider(props: {
  language: Language;
  messages: Messages;
  children: ReactNode;
}) {
  const [current, setCurrent] = useState({ language: props.language, t: props.messages });
  useEffect(() => {
    document.documentElement.lang = current.language;
  }, [current.language]);
  const text = useMemo<Text>(
    () => ({
      ...current,
      format: formatOf(current.language),
      setLanguage: (language) => {
        localStorage.setItem(KEY, language);
        void loadMessages(language).then((t) => setCurrent({ language, t }));
      },
    }),
    [current],
  );
  return <TextContext value={text}>{props.children}</TextContext>;
}

/** Words and formats of the language in use. */
export function useText(): Text {
  const text = use(TextContext);
  if (text === undefined) throw new Error('useText outside of TextProvider');
  return text;
}
