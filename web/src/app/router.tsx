import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
} from '@tanstack/react-router';

import { Broken } from './Broken';
import { Gate } from './Gate';
import { NotFound } from './NotFound';
import { oneOf, optional, text, type RawSearch } from './search';

const root = createRootRoute({ component: Gate, notFoundComponent: NotFound });

const overview = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => import('@/features/overview/OverviewPage'), 'OverviewPage'),
});

const agents = createRoute({
  getParentRoute: () => root,
  path: '/agents',
  validateSearch: (search: RawSearch) =>
    optional({
      presence: oneOf(search, 'presence', ['online', 'offline']),
      group: text(search, 'group'),
      os_family: oneOf(search, 'os_family', ['linux', 'windows', 'macos']),
      search: text(search, 'search'),
      sort: oneOf(search, 'sort', [
        'pc_id',
        '-pc_id',
        'since',
        '-since',
        'heartbeat_at',
        '-heartbeat_at',
      ]),
    }),
  component: lazyRouteComponent(() => import('@/features/agents/AgentsPage'), 'AgentsPage'),
});

const agent = createRoute({
  getParentRoute: () => root,
  path: '/agents/$pcId',
  validateSearch: (search: RawSearch) =>
    optional({
      tab: oneOf(search, 'tab', ['facts', 'runs', 'queue']),
    }),
  component: lazyRouteComponent(() => import('@/features/agents/AgentPage'), 'AgentPage'),
});

const groups = createRoute({
  getParentRoute: () => root,
  path: '/groups',
  validateSearch: (search: RawSearch) => optional({ search: text(search, 'search') }),
  component: lazyRouteComponent(() => import('@/features/groups/GroupsPage'), 'GroupsPage'),
});

const run = createRoute({
  getParentRoute: () => root,
  path: '/run',
  validateSearch: (search: RawSearch) =>
    optional({
      job: text(search, 'job'),
      /** Names with commas between them. */
      groups: text(search, 'groups'),
      pcs: text(search, 'pcs'),
    }),
  component: lazyRouteComponent(() => import('@/features/run/RunPage'), 'RunPage'),
});

const execs = createRoute({
  getParentRoute: () => root,
  path: '/execs',
  validateSearch: (search: RawSearch) =>
    optional({
      state: oneOf(search, 'state', ['running', 'ended']),
      job_id: text(search, 'job_id'),
      prefix: text(search, 'prefix'),
      sort: oneOf(search, 'sort', ['issued_at', '-issued_at']),
    }),
  component: lazyRouteComponent(() => import('@/features/execs/ExecsPage'), 'ExecsPage'),
});

const exec = createRoute({
  getParentRoute: () => root,
  path: '/execs/$execId',
  validateSearch: (search: RawSearch) =>
    optional({
      tab: oneOf(search, 'tab', ['results', 'pcs', 'details']),
      state: oneOf(search, 'state', ['pending', 'admitted', 'running', 'ended']),
      outcome: oneOf(search, 'outcome', [
        'ok',
        'failed',
        'timed_out',
        'killed',
        'skipped',
        'interrupted',
        'expired',
        'withdrawn',
        'revoked',
        'superseded',
        'lost',
      ]),
    }),
  component: lazyRouteComponent(() => import('@/features/execs/ExecPage'), 'ExecPage'),
});

const jobs = createRoute({
  getParentRoute: () => root,
  path: '/jobs',
  validateSearch: (search: RawSearch) => optional({ search: text(search, 'search') }),
  component: lazyRouteComponent(() => import('@/features/jobs/JobsPage'), 'JobsPage'),
});

const job = createRoute({
  getParentRoute: () => root,
  path: '/jobs/$jobId',
  validateSearch: (search: RawSearch) =>
    optional({ tab: oneOf(search, 'tab', ['source', 'history']) }),
  component: lazyRouteComponent(() => import('@/features/jobs/JobPage'), 'JobPage'),
});

const audit = createRoute({
  getParentRoute: () => root,
  path: '/audit',
  component: lazyRouteComponent(() => import('@/features/audit/AuditPage'), 'AuditPage'),
});

const system = createRoute({
  getParentRoute: () => root,
  path: '/system',
  validateSearch: (search: RawSearch) =>
    optional({
      tab: oneOf(search, 'tab', ['health', 'broker', 'deadLetters', 'gaps']),
    }),
  component: lazyRouteComponent(() => import('@/features/system/SystemPage'), 'SystemPage'),
});

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    agents,
    agent,
    groups,
    run,
    execs,
    exec,
    jobs,
    job,
    audit,
    system,
  ]),
  defaultPreload: 'intent',
  defaultErrorComponent: Broken,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
