import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import type { Connection } from '@/api/live';
import type { SessionView } from '@/api/session';
import { systemQuery } from '@/api/system';
import { useText } from '@/i18n/text';
import { Icon } from '@/ui/Icon';
import { Status } from '@/ui/Status';

import { Settings } from './Settings';

/** Above every page: the way anywhere, how the connection is, how far the backend is, and who. */
export function TopBar(props: {
  session: SessionView;
  connection: Connection;
  onMenu: () => void;
  onSearch: () => void;
}) {
  const { t } = useText();
  const lag = useQuery({
    ...systemQuery,
    select: (system) => system.streams.reduce((sum, stream) => sum + stream.lag, 0),
  });
  return (
    <header className="border-line flex min-h-12 items-center gap-3 border-b px-3 md:px-4">
      <button
        type="button"
        aria-label={t.app.openMenu}
        onClick={props.onMenu}
        className="hover:bg-hover rounded p-2 md:hidden"
      >
        <Icon name="menu" />
      </button>
      <Link to="/" className="font-semibold">
        {t.app.name}
      </Link>
      <button
        type="button"
        onClick={props.onSearch}
        className="border-line text-muted hover:bg-hover ml-2 inline-flex min-h-8 items-center gap-2 rounded border px-2 md:ml-28 md:w-64"
      >
        <Icon name="search" />
        <span className="max-md:sr-only">{t.top.search}</span>
        <kbd className="mono ml-auto text-xs max-md:hidden">Ctrl K</kbd>
      </button>
      <div className="ml-auto flex items-center gap-3">
        {lag.data !== undefined && (
          <span
            className={`max-sm:hidden ${lag.data > 0 ? 'text-warn' : 'text-muted'}`}
            title={t.top.lagHelp}
          >
            {t.top.lag(lag.data)}
          </span>
        )}
        <span role="status">
          <ConnectionStatus connection={props.connection} />
        </span>
        <Settings operator={props.session.operator} />
      </div>
    </header>
  );
}

function ConnectionStatus({ connection }: { connection: Connection }) {
  const { t } = useText();
  switch (connection) {
    case 'live':
      return (
        <Status tone="ok" shape="disc">
          {t.top.live}
        </Status>
      );
    case 'connecting':
      return (
        <Status tone="idle" shape="ring">
          {t.top.connecting}
        </Status>
      );
    case 'lost':
      return (
        <Status tone="bad" shape="cross">
          {t.top.lost}
        </Status>
      );
  }
}
