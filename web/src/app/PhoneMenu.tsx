import { useEffect, useRef } from 'react';

import { useText } from '@/i18n/text';
import { Icon } from '@/ui/Icon';

import { Nav } from './Nav';

/** The places on a narrow screen: a sheet from the left. */
export function PhoneMenu({ onClose }: { onClose: () => void }) {
  const { t } = useText();
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      aria-label={t.app.navigation}
      onClose={onClose}
      className="border-line bg-raised text-text m-0 h-dvh max-h-none w-64 border-r"
    >
      <div className="flex justify-end p-2">
        <button
          type="button"
          aria-label={t.app.closeMenu}
          onClick={onClose}
          className="hover:bg-hover rounded p-2"
        >
          <Icon name="cross" />
        </button>
      </div>
      <Nav narrow={false} onFollow={onClose} />
    </dialog>
  );
}
