// Digests as md5sum writes them: reading one, reading a list, writing a list.

const LINE = /^(\\?)([0-9a-f]{32})(?: [ *](.+)|\s*)$/i;
const BSD_LINE = /^(\\?)MD5 \((.+)\) = ([0-9a-f]{32})$/i;

const ESCAPES = { '\\': '\\\\', '\n': '\\n', '\r': '\\r' };
const ESCAPED = { '\\\\': '\\', '\\n': '\n', '\\r': '\r' };

/** `{digest, name}` of a digest alone (without a name) or of a line of md5sum, also of `md5sum --tag`; else null. */
export function readLine(text) {
  const line = text.trimStart().replace(/[\r\n]+$/, '');
  const bsd = line.match(BSD_LINE);
  const [, backslash, digest, name] = bsd ? [bsd[0], bsd[1], bsd[3], bsd[2]] : line.match(LINE) ?? [];
  if (!digest) return null;
  const plain = backslash && name ? name.replace(/\\[\\nr]/g, escape => ESCAPED[escape]) : name;
  return { digest: digest.toLowerCase(), name: plain?.replace(/^\.\//, '') };
}

/** A line for each `{md5, name}`, none twice. A name with a line break or a backslash is escaped, as md5sum does. */
export function writeList(entries) {
  const lines = entries.map(({ md5, name }) => {
    const escaped = name.replace(/[\\\n\r]/g, character => ESCAPES[character]);
    return `${escaped === name ? '' : '\\'}${md5}  ${escaped}\n`;
  });
  return [...new Set(lines)].join('');
}

/** A list of digests that files are compared with, by their names. */
export class List {
  #names = new Map();
  #lastParts = new Map();

  constructor(text) {
    const lines = text.split('\n').filter(line => line.trim());
    const entries = lines.map(readLine).filter(entry => entry?.name);
    this.unread = lines.length - entries.length;
    for (const { name, digest } of entries) {
      this.#names.set(name, digest);
      // With two files of that name in two folders, the name alone is ambiguous.
      const known = this.#lastParts.get(lastPart(name));
      this.#lastParts.set(lastPart(name), known && known.digest !== digest ? {} : { name, digest });
    }
  }

  get size() { return this.#names.size; }

  /** Returns the list's `{name, digest}` for a file: by its whole name, or else by the last part of it. */
  find(name) {
    const digest = this.#names.get(name);
    return digest ? { name, digest } : this.#lastParts.get(lastPart(name)) ?? {};
  }
}

const lastPart = name => name.slice(name.lastIndexOf('/') + 1);
