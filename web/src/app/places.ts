import type { Messages } from '@/i18n/en';
import type { IconName } from '@/ui/Icon';

/** The six places of the dashboard and their pages; a place without pages is not built yet. */
export const PLACES = [
  {
    place: 'fleet',
    pages: [
      { to: '/', name: 'overview', icon: 'overview' },
      { to: '/agents', name: 'agents', icon: 'agents' },
      { to: '/groups', name: 'groups', icon: 'groups' },
    ],
  },
  {
    place: 'run',
    pages: [
      { to: '/run', name: 'runNow', icon: 'run' },
      { to: '/execs', name: 'execs', icon: 'execs' },
    ],
  },
  { place: 'automate', pages: [{ to: '/jobs', name: 'jobs', icon: 'jobs' }] },
  { place: 'know', pages: [] },
  { place: 'ship', pages: [] },
  {
    place: 'admin',
    pages: [
      { to: '/audit', name: 'audit', icon: 'audit' },
      { to: '/system', name: 'system', icon: 'system' },
    ],
  },
] as const satisfies readonly {
  place: keyof Messages['nav'];
  pages: readonly { to: string; name: keyof Messages['nav']; icon: IconName }[];
}[];
