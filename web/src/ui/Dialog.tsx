import { useEffect, useId, useRef, type ReactNode } from 'react';

/**
 * A dialog above the page, by the browser's own element: it keeps the focus inside, closes on
 * Escape, and gives the focus back.
 */
export function Dialog(props: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  /** Hides the title from sight, where the content says it already. */
  bare?: boolean;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    // A click on the backdrop is for the mouse alone; the keyboard has Escape.
    // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions
    <dialog
      ref={ref}
      aria-labelledby={titleId}
      onClose={props.onClose}
      onClick={(event) => {
        if (event.target === event.currentTarget) props.onClose();
      }}
      className="border-line bg-bg text-text mt-[12vh] w-[min(36rem,calc(100vw-2rem))] rounded-lg border shadow-xl"
    >
      <div className={props.bare === true ? '' : 'flex flex-col gap-3 p-4'}>
        <h2 id={titleId} className={props.bare === true ? 'sr-only' : 'text-base font-semibold'}>
          {props.title}
        </h2>
        {props.children}
      </div>
    </dialog>
  );
}
