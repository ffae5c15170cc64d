import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useId, useState } from 'react';

import { sessionQuery, signOut } from '@/api/session';
import { LANGUAGES, useText, type Language } from '@/i18n/text';
import { chooseTheme, chosenTheme, THEMES } from '@/lib/theme';
import { Button } from '@/ui/Button';

/** Who is signed in, and how they like the page. */
export function SettingsPanel({ operator }: { operator: string }) {
  const { t, language, setLanguage } = useText();
  const client = useQueryClient();
  const [theme, setTheme] = useState(chosenTheme);
  const leaving = useMutation({
    mutationFn: signOut,
    onSettled: () => {
      client.clear();
      void client.resetQueries({ queryKey: sessionQuery.queryKey });
      location.assign('/');
    },
  });
  const themes = { system: t.top.themeSystem, light: t.top.themeLight, dark: t.top.themeDark };
  const languages = Object.keys(LANGUAGES) as Language[];
  return (
    <div className="flex flex-col gap-3">
      <p>
        <span className="text-muted">{t.top.signedInAs} </span>
        {operator}
      </p>
      <Choice
        legend={t.top.theme}
        options={THEMES.map((value) => ({ value, label: themes[value] }))}
        value={theme}
        onChange={(value) => {
          chooseTheme(value);
          setTheme(value);
        }}
      />
      <Choice
        legend={t.top.language}
        options={languages.map((value) => ({ value, label: LANGUAGES[value] }))}
        value={language}
        onChange={setLanguage}
      />
      <Button onClick={() => leaving.mutate()} disabled={leaving.isPending}>
        {t.top.signOut}
      </Button>
    </div>
  );
}

function Choice<T extends string>(props: {
  legend: string;
  options: readonly { value: T; label: string }[];
  value: T;
  onChange: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset>
      <legend className="text-muted mb-1">{props.legend}</legend>
      <div className="flex flex-wrap gap-x-4 gap-y-1">
        {props.options.map(({ value, label }) => (
          <label key={value} className="inline-flex items-center gap-1.5">
            <input
              type="radio"
              name={name}
              checked={value === props.value}
              onChange={() => props.onChange(value)}
            />
            {label}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
