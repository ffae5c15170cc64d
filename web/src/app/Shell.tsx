import { Outlet, useRouterState } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useState } from 'react';

import { useConnection, useLive } from '@/api/live';
import type { SessionView } from '@/api/session';
import { useText } from '@/i18n/text';
import { Icon } from '@/ui/Icon';
import { Loading } from '@/ui/States';

import { Nav } from './Nav';
import { TopBar } from './TopBar';

const Palette = lazy(() => import('./Palette').then((module) => ({ default: module.Palette })));

const PhoneMenu = lazy(() =>
  import('./PhoneMenu').then((module) => ({ default: module.PhoneMenu })),
);

const NARROW_KEY = 'kanade.nav.narrow';

/** What is around every page: the places on the left, and the bar above. */
export function Shell({ session }: { session: SessionView }) {
  const { t } = useText();
  const connection = useConnection();
  // So that there is a connection, and a loss of it is seen, on every page.
  useLive('execs', [], ignore);
  const [narrow, setNarrow] = useState(localStorage.getItem(NARROW_KEY) === 'yes');
  const [menu, setMenu] = useState(false);
  const [palette, setPalette] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      setPalette(true);
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  const toggle = () => {
    localStorage.setItem(NARROW_KEY, narrow ? 'no' : 'yes');
    setNarrow(!narrow);
  };
  return (
    <div className="flex h-dvh flex-col">
      <a
        href="#content"
        className="bg-accent text-on-accent absolute -top-10 left-2 z-50 rounded px-3 py-1 focus:top-2"
      >
        {t.app.skip}
      </a>
      <TopBar
        session={session}
        connection={connection}
        onMenu={() => setMenu(true)}
        onSearch={() => setPalette(true)}
      />
      {connection === 'lost' && (
        <p role="alert" className="bg-bad-soft text-bad border-bad-fill border-b px-4 py-1 md:px-6">
          {t.top.lostBanner}
        </p>
      )}
      <div className="flex min-h-0 grow">
        <aside
          className={`border-line bg-raised flex shrink-0 flex-col justify-between overflow-y-auto border-r max-md:hidden ${narrow ? 'w-12' : 'w-48'}`}
        >
          <Nav narrow={narrow} />
          <button
            type="button"
            onClick={toggle}
            aria-expanded={!narrow}
            className="text-muted hover:bg-hover m-2 flex min-h-8 items-center gap-2 rounded px-2"
          >
            <Icon name={narrow ? 'expand' : 'collapse'} />
            <span className={narrow ? 'sr-only' : ''}>
              {narrow ? t.app.expand : t.app.collapse}
            </span>
          </button>
        </aside>
        <main id="content" tabIndex={-1} className="min-w-0 grow outline-none">
          <Suspense key={path} fallback={<Loading />}>
            <Outlet />
          </Suspense>
        </main>
      </div>
      {menu && (
        <Suspense>
          <PhoneMenu onClose={() => setMenu(false)} />
        </Suspense>
      )}
      {palette && (
        <Suspense>
          <Palette onClose={() => setPalette(false)} />
        </Suspense>
      )}
    </div>
  );
}

function ignore(): void {
  // Pages that show execs listen for themselves.
}
