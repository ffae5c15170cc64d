import { Link } from '@tanstack/react-router';

import { useText } from '@/i18n/text';
import { Page } from '@/ui/Page';

export function NotFound() {
  const { t } = useText();
  return (
    <Page title={t.app.unknownPage}>
      <div className="flex flex-col gap-2 p-4 md:p-6">
        <p>{t.app.unknownPageHelp}</p>
        <Link to="/" className="link">
          {t.app.toOverview}
        </Link>
      </div>
    </Page>
  );
}
