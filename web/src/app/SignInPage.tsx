import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useId, useState } from 'react';

import { toApiError } from '@/api/errors';
import { live } from '@/api/live';
import { codeIn, sessionQuery, signIn } from '@/api/session';
import { useText } from '@/i18n/text';
import { Button } from '@/ui/Button';
import { Command } from '@/ui/Command';
import { Failed } from '@/ui/States';

import { signInFailure } from './signInFailure';

/** Without a session: how to get a link, and a field for one. */
export function SignInPage() {
  const { t } = useText();
  const client = useQueryClient();
  const id = useId();
  const [pasted, setPasted] = useState('');
  const signing = useMutation({
    mutationFn: () => signIn(codeIn(pasted)),
    onSuccess: async () => {
      signInFailure.current = undefined;
      await client.resetQueries({ queryKey: sessionQuery.queryKey });
      live.reconnect();
    },
  });
  const error = signing.error === null ? signInFailure.current : toApiError(signing.error);
  return (
    <main className="mx-auto flex max-w-xl flex-col gap-4 p-6 pt-[12vh]">
      <p className="text-muted font-medium">{t.app.name}</p>
      <h1 className="text-xl font-semibold">{t.signIn.title}</h1>
      <p>{t.signIn.how}</p>
      <Command text="kanade signin" />
      <form
        className="flex flex-col gap-1"
        onSubmit={(event) => {
          event.preventDefault();
          signing.mutate();
        }}
      >
        <label htmlFor={id}>{t.signIn.paste}</label>
        <div className="flex gap-2">
          <input
            id={id}
            className="field mono min-w-0 grow"
            autoComplete="off"
            spellCheck={false}
            required
            value={pasted}
            onChange={(event) => setPasted(event.target.value)}
          />
          <Button type="submit" kind="main" disabled={signing.isPending}>
            {signing.isPending ? t.signIn.working : t.signIn.submit}
          </Button>
        </div>
      </form>
      {error !== undefined && (
        <div className="-mx-4">
          <Failed failure={error} />
        </div>
      )}
    </main>
  );
}
