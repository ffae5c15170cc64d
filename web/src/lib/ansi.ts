import Anser from 'anser';

/** A stretch of text that is drawn in one way. */
export interface Stretch {
  text: string;
  /** A name of the palette, or a colour as `rgb(…)`. */
  color: string | undefined;
  background: string | undefined;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

/* eslint-disable no-control-regex -- control characters are what this is about */
/** Sequences that colour nothing: cursor moves, titles, character sets. */
const OTHER_SEQUENCES =
  /\u001b(?:\[[0-9;?]*[A-Za-ln-z]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[()][A-Z0-9])/g;
/** What is left that no terminal would draw. */
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001a\u001c-\u001f\u007f]/g;
/* eslint-enable no-control-regex */

/** Text with terminal colours, as stretches in the order of the text. */
export function stretches(text: string): Stretch[] {
  const plain = overwritten(
    text.replaceAll('\r\n', '\n').replaceAll(OTHER_SEQUENCES, ''),
  ).replaceAll(CONTROLS, '');
  return Anser.ansiToJson(plain, { use_classes: true, remove_empty: true, json: true }).map(
    (part) => {
      const has = (decoration: string) => part.decorations.includes(decoration as never);
      return {
        text: part.content,
        color: color(part.fg, part.fg_truecolor),
        background: color(part.bg, part.bg_truecolor),
        bold: has('bold'),
        dim: has('dim'),
        italic: has('italic'),
        underline: has('underline'),
      };
    },
  );
}

/** Progress bars write a line again and again; what stood last is what a person saw. */
function overwritten(text: string): string {
  return text
    .split('\n')
    .map((line) => line.slice(line.replace(/\r+$/, '').lastIndexOf('\r') + 1).replaceAll('\r', ''))
    .join('\n');
}

function color(name: string | null, rgb: string | null): string | undefined {
  if (name === null) return undefined;
  if (name === 'ansi-truecolor') return rgb === null ? undefined : `rgb(${rgb})`;
  const palette = /^ansi-palette-(\d+)$/.exec(name)?.[1];
  if (palette !== undefined) return paletteColor(Number(palette));
  return `var(--${name.replace('bright-', '')})`;
}

/** The colours 16 to 255 of a terminal: a cube of six steps each, then greys. */
function paletteColor(index: number): string {
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return `rgb(${grey}, ${grey}, ${grey})`;
  }
  const step = (n: number) => (n === 0 ? 0 : 55 + n * 40);
  const cube = index - 16;
  const [r, g, b] = [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6];
  return `rgb(${step(r)}, ${step(g)}, ${step(b)})`;
}
