import { useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';

import { outputPage } from '@/api/execs';
import type { OutputView, Stream } from '@/api/types';
import { useText } from '@/i18n/text';
import { Ansi } from '@/parts/Ansi';
import { Button } from '@/ui/Button';
import { CopyButton } from '@/ui/Command';

/** One stream of a run's output: its beginning at once, the rest when asked for. */
export function Output(props: { requestId: string; stream: Stream; output: OutputView }) {
  const { t, format } = useText();
  const { requestId, stream, output } = props;
  const headBytes = new TextEncoder().encode(output.head).length;
  const [all, setAll] = useState(false);
  const pages = useInfiniteQuery({
    queryKey: ['output', requestId, stream],
    queryFn: ({ pageParam, signal }) => outputPage(requestId, stream, pageParam, signal),
    initialPageParam: 0,
    getNextPageParam: (last) => last.next_offset ?? undefined,
    enabled: all,
    // What a run wrote does not change any more.
    staleTime: Infinity,
  });
  const read = pages.data?.pages.map((page) => page.text).join('');
  const text = read ?? output.head;
  const last = pages.data?.pages.at(-1);
  const shownBytes = last === undefined ? headBytes : (last.next_offset ?? last.stored_bytes);
  const left = output.stored_bytes - shownBytes;
  const name = stream === 'stdout' ? t.exec.stdout : t.exec.stderr;
  return (
    <div
      className={`border-line bg-raised relative rounded border ${stream === 'stderr' ? 'border-l-bad-fill border-l-2' : ''}`}
    >
      <div className="bg-raised absolute top-1 right-1 rounded">
        <CopyButton text={text} label={`${t.exec.copyOutput}: ${name}`} />
      </div>
      <pre
        // A long output scrolls, by keyboard, too.
        tabIndex={0}
        role="group"
        aria-label={name}
        className="mono max-h-[28rem] overflow-auto px-3 py-2 pr-10 break-words whitespace-pre-wrap"
      >
        <Ansi text={text} />
      </pre>
      {(left > 0 || (output.truncated_bytes ?? 0) > 0) && (
        <div className="border-line flex flex-wrap items-center gap-3 border-t px-3 py-1">
          {left > 0 && (
            <Button
              kind="quiet"
              disabled={pages.isFetching}
              onClick={() => {
                if (all) void pages.fetchNextPage();
                else setAll(true);
              }}
            >
              {t.exec.readMore(format.bytes(left))}
            </Button>
          )}
          {(output.truncated_bytes ?? 0) > 0 && (
            <span className="text-warn">
              {t.exec.cut(format.bytes(output.truncated_bytes ?? 0))}
            </span>
          )}
        </div>
      )}
    </div>
  );
}
