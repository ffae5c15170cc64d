import type { TailChunk } from '@/api/types';

/** Characters of live output that are kept; the whole comes with the result. */
const MOST_CHARS = 200_000;

interface Part {
  text: string;
  /** Where the next byte belongs. */
  end: number;
}

/** Live output as far as it is known. */
export interface TailText {
  stdout: Part;
  stderr: Part;
}

export const NOTHING: TailText = {
  stdout: { text: '', end: 0 },
  stderr: { text: '', end: 0 },
};

/** Adds what a piece brings beyond what was there; pieces come twice, or with a hole between. */
export function addChunk(before: TailText, chunk: TailChunk): TailText {
  return {
    stdout: addPart(before.stdout, chunk.stdout_offset, chunk.stdout),
    stderr: addPart(before.stderr, chunk.stderr_offset, chunk.stderr),
  };
}

function addPart(before: Part, offset: number, text: string): Part {
  const bytes = new TextEncoder().encode(text);
  const end = offset + bytes.length;
  if (end <= before.end) return before;
  const known = Math.max(0, before.end - offset);
  const fresh = new TextDecoder().decode(bytes.subarray(known));
  const hole = offset > before.end && before.end > 0 ? '\n…\n' : '';
  return { text: (before.text + hole + fresh).slice(-MOST_CHARS), end };
}
