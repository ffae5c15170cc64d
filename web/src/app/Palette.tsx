import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useId, useState } from 'react';

import { agentsFoundQuery } from '@/api/agents';
import { execsFoundQuery } from '@/api/execs';
import { groupsFoundQuery } from '@/api/groups';
import { jobsFoundQuery } from '@/api/jobs';
import { useText } from '@/i18n/text';
import { useDebounced } from '@/lib/useDebounced';
import { Dialog } from '@/ui/Dialog';

import { PLACES } from './places';

const TYPING_MS = 120;
const MOST = 6;
/** Shorter texts would match every exec. */
const PREFIX = /^[0-9a-f-]{4,36}$/;

interface Entry {
  key: string;
  kind: string;
  label: string;
  note?: string | undefined;
  go: () => void;
}

/** Reaches every page and every thing by its name. */
export function Palette({ onClose }: { onClose: () => void }) {
  const { t } = useText();
  const listId = useId();
  const [typed, setTyped] = useState('');
  const [at, setAt] = useState(0);
  const entries = useEntries(typed);
  const current = Math.min(at, entries.length - 1);
  const open = (entry: Entry | undefined) => {
    if (entry === undefined) return;
    onClose();
    entry.go();
  };
  return (
    <Dialog title={t.palette.title} onClose={onClose} bare>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls={listId}
        aria-activedescendant={entries[current] && `${listId}-${String(current)}`}
        aria-label={t.palette.placeholder}
        placeholder={t.palette.placeholder}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') setAt(Math.min(current + 1, entries.length - 1));
          else if (event.key === 'ArrowUp') setAt(Math.max(current - 1, 0));
          else if (event.key === 'Enter') open(entries[current]);
          else return;
          event.preventDefault();
        }}
        className="border-line w-full border-b bg-transparent px-4 py-3 text-base outline-none"
      />
      <div
        id={listId}
        role="listbox"
        aria-label={t.palette.title}
        className="max-h-96 overflow-y-auto p-2"
      >
        {entries.map((entry, index) => (
          // The keyboard moves through the list from the field above, as a combobox does.
          // eslint-disable-next-line jsx-a11y/click-events-have-key-events
          <div
            key={entry.key}
            id={`${listId}-${String(index)}`}
            role="option"
            aria-selected={index === current}
            tabIndex={-1}
            ref={index === current ? showsItself : undefined}
            onClick={() => open(entry)}
            onMouseMove={() => setAt(index)}
            className="aria-selected:bg-accent-soft flex min-h-8 cursor-pointer items-center gap-3 rounded px-2"
          >
            <span className="truncate">{entry.label}</span>
            <span className="text-muted truncate">{entry.note}</span>
            <span className="text-muted ml-auto shrink-0 text-xs">{entry.kind}</span>
          </div>
        ))}
      </div>
      {entries.length === 0 && <p className="text-muted px-4 pb-3">{t.palette.nothing}</p>}
      <p className="border-line text-muted border-t px-4 py-2 text-xs max-sm:hidden">
        {t.palette.hint}
      </p>
    </Dialog>
  );
}

function showsItself(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: 'nearest' });
}

/** Pages by name at once; the rest as soon as the backend has answered. */
function useEntries(typed: string): Entry[] {
  const { t } = useText();
  const navigate = useNavigate();
  const text = typed.trim().toLowerCase();
  const search = useDebounced(text, TYPING_MS);
  const enabled = search !== '';
  const shared = { enabled, placeholderData: keepPreviousData };
  const agents = useQuery({ ...agentsFoundQuery(search, MOST), ...shared });
  const groups = useQuery({ ...groupsFoundQuery(search, MOST), ...shared });
  const jobs = useQuery({ ...jobsFoundQuery(search, MOST), ...shared });
  const execs = useQuery({
    ...execsFoundQuery(search, MOST),
    ...shared,
    enabled: PREFIX.test(search),
  });

  const entries: Entry[] = PLACES.flatMap(({ pages }) => [...pages])
    .filter((page) => t.nav[page.name].toLowerCase().includes(text))
    .map(({ to, name }) => ({
      key: to,
      kind: t.palette.pages,
      label: t.nav[name],
      go: () => void navigate({ to }),
    }));
  if (text === '') return entries;
  for (const { pc_id: pcId, os } of agents.data?.items ?? []) {
    const go = () => void navigate({ to: '/agents/$pcId', params: { pcId } });
    entries.push({ key: `pc ${pcId}`, kind: t.palette.agents, label: pcId, note: os ?? '', go });
  }
  for (const { group_id: group, member_count } of groups.data?.items ?? []) {
    const go = () => void navigate({ to: '/agents', search: { group } });
    const note = t.common.pcs(member_count);
    entries.push({ key: `group ${group}`, kind: t.palette.groups, label: group, note, go });
  }
  for (const { job_id: jobId, description } of jobs.data?.items ?? []) {
    const go = () => void navigate({ to: '/jobs/$jobId', params: { jobId } });
    const note = description ?? '';
    entries.push({ key: `job ${jobId}`, kind: t.palette.jobs, label: jobId, note, go });
  }
  const found = PREFIX.test(text) ? (execs.data?.items ?? []) : [];
  for (const { exec_id: execId, title } of found) {
    const go = () => void navigate({ to: '/execs/$execId', params: { execId } });
    const label = execId.slice(0, 12);
    entries.push({ key: `exec ${execId}`, kind: t.palette.execs, label, note: title, go });
  }
  return entries;
}
