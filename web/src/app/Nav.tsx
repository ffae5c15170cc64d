import { Link } from '@tanstack/react-router';

import { useText } from '@/i18n/text';
import { Icon } from '@/ui/Icon';

import { PLACES } from './places';

/** The six places; narrow, it shows their pages as pictures with a name on hover. */
export function Nav({ narrow, onFollow }: { narrow: boolean; onFollow?: () => void }) {
  const { t } = useText();
  return (
    <nav aria-label={t.app.navigation} className="flex flex-col gap-3 p-2">
      {PLACES.map(({ place, pages }) => {
        if (narrow && pages.length === 0) return null;
        return (
          <div key={place} className="flex flex-col">
            <p
              className={
                narrow
                  ? 'border-line mx-2 mb-1 border-t'
                  : 'text-muted flex justify-between px-2 pb-0.5 text-xs font-medium'
              }
            >
              {!narrow && t.nav[place]}
              {pages.length === 0 && <span className="font-normal">{t.app.notYet}</span>}
            </p>
            {pages.map(({ to, name, icon }) => (
              <Link
                key={to}
                to={to}
                onClick={onFollow}
                activeOptions={{ exact: to === '/', includeSearch: false }}
                title={narrow ? t.nav[name] : undefined}
                className="hover:bg-hover aria-[current=page]:bg-accent-soft flex min-h-8 items-center gap-2 rounded px-2 aria-[current=page]:font-medium"
              >
                <Icon name={icon} className="text-muted" />
                <span className={narrow ? 'sr-only' : ''}>{t.nav[name]}</span>
              </Link>
            ))}
          </div>
        );
      })}
    </nav>
  );
}
