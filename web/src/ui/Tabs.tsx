import { Link } from '@tanstack/react-router';

/** Tabs that are addresses: each is a link to the same page with another `tab`. */
export function Tabs<T extends string>(props: {
  tabs: readonly T[];
  current: T;
  names: Readonly<Record<T, string>>;
}) {
  return (
    <nav className="border-line -mx-4 -mb-2 flex gap-4 overflow-x-auto border-b px-4 md:-mx-6 md:px-6">
      {props.tabs.map((tab) => (
        <Link
          key={tab}
          to="."
          // This component knows no page, so it can't know the page's own words for `tab`.
          search={((search: object) => ({ ...search, tab })) as never}
          replace
          aria-current={tab === props.current ? 'page' : undefined}
          className="text-muted hover:text-text aria-[current=page]:border-accent aria-[current=page]:text-text border-b-2 border-transparent py-1.5 whitespace-nowrap"
        >
          {props.names[tab]}
        </Link>
      ))}
    </nav>
  );
}
