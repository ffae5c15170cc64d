import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';

import { groupsQuery } from '@/api/groups';
import { rowsOf } from '@/api/pages';
import type { GroupView } from '@/api/types';
import type { Messages } from '@/i18n/en';
import type { Format } from '@/i18n/format';
import { useText } from '@/i18n/text';
import { GROUP_COMMAND } from '@/parts/commands';
import { NameListPage } from '@/parts/NameListPage';
import type { Column } from '@/ui/DataTable';
import { Empty } from '@/ui/States';
import { Time } from '@/ui/Time';

const route = getRouteApi('/groups');

/** Sets of PCs that execs can be aimed at. */
export function GroupsPage() {
  const { t, format } = useText();
  const { search } = route.useSearch();
  const navigate = route.useNavigate();
  const groups = useInfiniteQuery({
    ...groupsQuery({ search }),
    placeholderData: keepPreviousData,
  });
  return (
    <NameListPage
      title={t.groups.title}
      query={groups}
      rows={rowsOf(groups.data)}
      columns={columns(t, format)}
      keyOf={(group) => group.group_id}
      search={{
        value: search,
        onChange: (text) => void navigate({ search: { search: text }, replace: true }),
      }}
      empty={<Empty title={t.groups.emptyTitle} help={t.groups.empty} command={GROUP_COMMAND} />}
    />
  );
}

function columns(t: Messages, format: Format): readonly Column<GroupView>[] {
  return [
    {
      id: 'group',
      title: t.groups.group,
      width: 'min(16rem, 50vw)',
      cell: (group) => (
        <Link to="/agents" search={{ group: group.group_id }} className="link">
          {group.group_id}
        </Link>
      ),
    },
    {
      id: 'members',
      title: t.groups.members,
      width: 'min(6rem, 25vw)',
      number: true,
      cell: (group) => format.number(group.member_count),
    },
    {
      id: 'description',
      title: t.groups.description,
      from: 'md',
      cell: (group) => group.description,
    },
    {
      id: 'updated',
      title: t.groups.updated,
      width: '9rem',
      from: 'sm',
      cell: (group) => <Time at={group.updated_at} />,
    },
    {
      id: 'run',
      title: t.nav.run,
      width: 'min(6rem, 22vw)',
      cell: (group) => (
        <Link
          to="/run"
          search={{ groups: group.group_id }}
          className="link"
          aria-label={`${t.groups.run}: ${group.group_id}`}
        >
          {t.nav.run}
        </Link>
      ),
    },
  ];
}
