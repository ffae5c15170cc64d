import { useInfiniteQuery } from '@tanstack/react-query';

import { rowsOf } from '@/api/pages';
import { auditQuery } from '@/api/system';
import type { AuditRow } from '@/api/types';
import type { Messages } from '@/i18n/en';
import { useText } from '@/i18n/text';
import { RUN_COMMAND } from '@/parts/commands';
import { NameListPage } from '@/parts/NameListPage';
import type { Column } from '@/ui/DataTable';
import { Empty } from '@/ui/States';
import { Time } from '@/ui/Time';

/** Who changed what, newest first. */
export function AuditPage() {
  const { t } = useText();
  const rows = useInfiniteQuery(auditQuery);
  return (
    <NameListPage
      title={t.audit.title}
      query={rows}
      rows={rowsOf(rows.data)}
      columns={columns(t)}
      keyOf={(row) => row.audit_id}
      empty={<Empty title={t.audit.emptyTitle} help={t.audit.empty} command={RUN_COMMAND} />}
    />
  );
}

function columns(t: Messages): readonly Column<AuditRow>[] {
  return [
    { id: 'at', title: t.audit.at, width: 'min(8rem, 30vw)', cell: (row) => <Time at={row.at} /> },
    { id: 'actor', title: t.audit.actor, width: 'min(8rem, 28vw)', cell: (row) => row.actor },
    {
      id: 'action',
      title: t.audit.action,
      width: 'min(11rem, 40vw)',
      cell: (row) => <span className="mono">{row.action}</span>,
    },
    {
      id: 'object',
      title: t.audit.object,
      width: '20rem',
      from: 'md',
      cell: (row) => <span className="mono">{row.object}</span>,
    },
    {
      id: 'detail',
      title: t.audit.detail,
      from: 'xl',
      cell: (row) => <span className="mono text-muted">{JSON.stringify(row.detail)}</span>,
    },
  ];
}
