import { useMemo } from 'react';

import { stretches } from '@/lib/ansi';

/** Output of a program with its colours. */
export function Ansi({ text }: { text: string }) {
  const parts = useMemo(() => stretches(text), [text]);
  return parts.map((part, index) => (
    <span
      // Stretches have no identity but their place.
      key={index}
      className={`${part.bold ? 'font-bold' : ''} ${part.dim ? 'text-muted' : ''} ${part.italic ? 'italic' : ''} ${part.underline ? 'underline' : ''}`}
      style={{ color: part.color, backgroundColor: part.background }}
    >
      {part.text}
    </span>
  ));
}
