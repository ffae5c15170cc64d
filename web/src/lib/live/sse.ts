/** One server-sent event. */
export interface SseEvent {
  /** Number of the change; only the last event of a change has one. */
  id: string | undefined;
  /** Its topic. */
  event: string;
  data: string;
}

/**
 * Takes a stream of server-sent events apart as it arrives.
 *
 * Our own and not the browser's `EventSource`, which hides the answer's status and can't be
 * told where to go on from after the page was reloaded.
 */
export class SseParser {
  #rest = '';

  /** The events that `text` completes, in order. */
  push(text: string): SseEvent[] {
    const blocks = (this.#rest + text).replaceAll('\r\n', '\n').split('\n\n');
    this.#rest = blocks.pop() ?? '';
    return blocks.map(parseBlock).filter((event) => event !== undefined);
  }
}

function parseBlock(block: string): SseEvent | undefined {
  let id: string | undefined;
  let event = 'message';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue; // A comment, which only shows that the connection lives.
    const value = line.slice(colon + 1).replace(/^ /, '');
    const field = line.slice(0, colon);
    if (field === 'id') id = value;
    else if (field === 'event') event = value;
    else if (field === 'data') data.push(value);
  }
  return data.length === 0 ? undefined : { id, event, data: data.join('\n') };
}
