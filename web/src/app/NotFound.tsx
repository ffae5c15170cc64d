import { Link } from '@tanstack/react-router';

import { useText } from '@/i18n/text';
import { Empty } from '@/ui/States';

export function NotFound() {
  const { t } = useText();
  return (
    <Empty title={t.app.unknownPage} help={t.app.unknownPageHelp}>
      <Link to="/" className="link">
        {t.app.toOverview}
      </Link>
    </Empty>
  );
}
