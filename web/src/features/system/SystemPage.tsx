import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';

import { toApiError } from '@/api/errors';
import { systemQuery } from '@/api/system';
import { useText } from '@/i18n/text';
import { Page } from '@/ui/Page';
import { Failed, Loading } from '@/ui/States';
import { Tabs } from '@/ui/Tabs';
import { Time } from '@/ui/Time';

import { BrokerTab } from './BrokerTab';
import { DeadLettersTab } from './DeadLettersTab';
import { GapsTab } from './GapsTab';
import { HealthTab } from './HealthTab';

const route = getRouteApi('/system');
const TABS = ['health', 'broker', 'deadLetters', 'gaps'] as const;

/** The backend itself: what it watches, its broker, and what it could not read. */
export function SystemPage() {
  const { t } = useText();
  const { tab = 'health' } = route.useSearch();
  const system = useQuery(systemQuery);
  return (
    <Page
      title={t.system.title}
      note={
        system.data !== undefined && (
          <span className="text-muted">
            <span className="mono">{system.data.version}</span> · {t.system.started}{' '}
            <Time at={system.data.started_at} />
          </span>
        )
      }
      bar={<Tabs tabs={TABS} current={tab} names={t.system.tabs} />}
      fills={tab === 'deadLetters' || tab === 'gaps'}
    >
      {tab === 'broker' ? (
        <BrokerTab />
      ) : tab === 'deadLetters' ? (
        <DeadLettersTab />
      ) : tab === 'gaps' ? (
        <GapsTab />
      ) : system.data !== undefined ? (
        <HealthTab system={system.data} />
      ) : system.error !== null ? (
        <Failed failure={toApiError(system.error)} onRetry={() => void system.refetch()} />
      ) : (
        <Loading />
      )}
    </Page>
  );
}
