import { useText } from '@/i18n/text';
import { Section } from '@/ui/Facts';

import type { RunForm } from './form';
import { Picker } from './Picker';
import { Radios } from './Radios';

/** Where it runs: all PCs or some, and except whom. */
export function Where({ form, set }: { form: RunForm; set: (part: Partial<RunForm>) => void }) {
  const { t } = useText();
  return (
    <Section title={t.run.where}>
      <Radios
        legend={t.run.where}
        value={form.where}
        options={[
          { value: 'some', label: t.run.some },
          { value: 'all', label: t.run.all },
        ]}
        onChange={(where) => set({ where })}
      />
      {form.where === 'some' && (
        <Picker label={t.run.add} picked={form.picked} onChange={(picked) => set({ picked })} />
      )}
      <Picker label={t.run.addExcept} picked={form.except} onChange={(except) => set({ except })} />
    </Section>
  );
}
