import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useId, useState } from 'react';

import { agentsFoundQuery } from '@/api/agents';
import { groupsFoundQuery } from '@/api/groups';
import { useText } from '@/i18n/text';
import { useDebounced } from '@/lib/useDebounced';
import { Icon } from '@/ui/Icon';

import type { Picked } from './form';

const TYPING_MS = 120;
const MOST = 8;

interface Props {
  label: string;
  picked: readonly Picked[];
  onChange: (picked: Picked[]) => void;
}

/** Picks groups and PCs by name: a field with suggestions, and what was picked before it. */
export function Picker({ label, picked, onChange }: Props) {
  const { t } = useText();
  const [inputId, listId] = [useId(), useId()];
  const [typed, setTyped] = useState('');
  const [at, setAt] = useState(0);
  const [open, setOpen] = useState(false);
  const found = useFound(typed).filter((one) => !picked.some((other) => same(one, other)));
  const current = Math.min(at, found.length - 1);
  const shows = open && typed.trim() !== '' && found.length > 0;
  const add = (one: Picked | undefined) => {
    if (one === undefined) return;
    onChange([...picked, one]);
    setTyped('');
    setAt(0);
  };
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={inputId}>{label}</label>
      <div className="field relative flex flex-wrap items-center gap-1.5 !px-2">
        {picked.map((one) => (
          <Chip
            key={`${one.kind} ${one.name}`}
            one={one}
            onRemove={() => onChange(picked.filter((other) => !same(one, other)))}
          />
        ))}
        <input
          id={inputId}
          role="combobox"
          aria-expanded={shows}
          aria-controls={listId}
          aria-autocomplete="list"
          aria-activedescendant={shows ? `${listId}-${String(current)}` : undefined}
          autoComplete="off"
          spellCheck={false}
          placeholder={picked.length === 0 ? t.run.addPlaceholder : ''}
          className="min-w-32 grow bg-transparent outline-none"
          value={typed}
          onFocus={() => setOpen(true)}
          onBlur={() => setOpen(false)}
          onChange={(event) => {
            setTyped(event.target.value);
            setOpen(true);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.key === 'ArrowDown') setAt(Math.min(current + 1, found.length - 1));
            else if (event.key === 'ArrowUp') setAt(Math.max(current - 1, 0));
            else if (event.key === 'Enter' && typed.trim() !== '') add(found[current]);
            else if (event.key === 'Escape') setOpen(false);
            else if (event.key === 'Backspace' && typed === '') onChange(picked.slice(0, -1));
            else return;
            if (event.key !== 'Backspace') event.preventDefault();
          }}
        />
        <div
          id={listId}
          role="listbox"
          aria-label={label}
          hidden={!shows}
          className="border-line bg-bg absolute top-full left-0 z-20 mt-1 w-full rounded border p-1 shadow-xl"
        >
          {shows &&
            found.map((one, index) => (
              <div
                key={`${one.kind} ${one.name}`}
                id={`${listId}-${String(index)}`}
                role="option"
                aria-selected={index === current}
                tabIndex={-1}
                // Before the field loses the focus, which would close the list.
                onMouseDown={(event) => {
                  event.preventDefault();
                  add(one);
                }}
                onMouseMove={() => setAt(index)}
                className="aria-selected:bg-accent-soft flex min-h-7 cursor-pointer items-center gap-2 rounded px-2"
              >
                <Icon name={one.kind === 'group' ? 'groups' : 'agents'} className="text-muted" />
                {one.name}
                {one.note !== undefined && <span className="text-muted ml-auto">{one.note}</span>}
              </div>
            ))}
        </div>
      </div>
    </div>
  );
}

function Chip({ one, onRemove }: { one: Picked; onRemove: () => void }) {
  const { t } = useText();
  return (
    <span className="bg-accent-soft inline-flex items-center gap-1 rounded-full pl-2">
      <Icon name={one.kind === 'group' ? 'groups' : 'agents'} className="text-muted !size-3.5" />
      {one.name}
      <button
        type="button"
        aria-label={t.run.remove(one.name)}
        onClick={onRemove}
        className="hover:bg-hover rounded-full p-1.5"
      >
        <Icon name="cross" className="!size-3" />
      </button>
    </span>
  );
}

function same(one: Picked, other: Picked): boolean {
  return one.kind === other.kind && one.name === other.name;
}

function useFound(typed: string): (Picked & { note?: string })[] {
  const { t } = useText();
  const search = useDebounced(typed.trim().toLowerCase(), TYPING_MS);
  const shared = { enabled: search !== '', placeholderData: keepPreviousData };
  const groups = useQuery({ ...groupsFoundQuery(search, MOST), ...shared });
  const agents = useQuery({ ...agentsFoundQuery(search, MOST), ...shared });
  return [
    ...(groups.data?.items ?? []).map((group) => ({
      kind: 'group' as const,
      name: group.group_id,
      note: t.common.pcs(group.member_count),
    })),
    ...(agents.data?.items ?? []).map((agent) => ({
      kind: 'pc' as const,
      name: agent.pc_id,
      note: t.presence[agent.presence],
    })),
  ];
}
