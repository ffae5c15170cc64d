import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { toApiError } from '@/api/errors';
import { askTail } from '@/api/execs';
import { useLive } from '@/api/live';
import { useText } from '@/i18n/text';
import { Ansi } from '@/parts/Ansi';
import { Failed } from '@/ui/States';

import { addChunk, NOTHING } from './tailText';

/** The PC goes on sending for a minute; asked again in time it never stops. */
const ASK_EVERY_MS = 20_000;

/** What a run that has not ended wrote so far, as the PC sends it. */
export function Tail({ requestId }: { requestId: string }) {
  const { t } = useText();
  const [text, setText] = useState(NOTHING);
  // Asked again when the connection begins to hear the topic: what came before is lost.
  const queryKey = ['tail', requestId];
  useLive(`tail:${requestId}`, [queryKey], (events) => {
    setText((before) =>
      events.reduce(
        (now, event) => (event.kind === 'tail' ? addChunk(now, event.chunk) : now),
        before,
      ),
    );
  });
  const asked = useQuery({
    queryKey,
    queryFn: async () => {
      await askTail(requestId);
      return true;
    },
    refetchInterval: ASK_EVERY_MS,
    gcTime: 0,
    retry: false,
  });
  if (asked.error !== null) return <Failed failure={toApiError(asked.error)} />;
  return (
    <pre
      tabIndex={0}
      role="group"
      aria-label={t.exec.following}
      className="mono border-line bg-raised max-h-80 overflow-auto rounded border px-3 py-2 break-words whitespace-pre-wrap"
    >
      <Ansi text={text.stdout.text + text.stderr.text || t.exec.noOutput} />
    </pre>
  );
}
