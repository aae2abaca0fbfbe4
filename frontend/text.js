// Makes foreign text safe to show. Characters that change the direction of writing, are invisible, or move the following text would
// make it look like another text: they are shown as JavaScript escapes.

const UNSEEN = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e007f}]/gu;
const SHORT = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(character) {
  const hex = character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
  return SHORT[character] ?? (hex.length > 4 ? `\\u{${hex}}` : `\\u${hex}`);
}

/** Returns text of one line or more, in which lines and tabs stay. */
export const visible = text => text.replace(UNSEEN, character => ('\n\t'.includes(character) ? character : escaped(character)));

/** Returns a name in one line. */
export const oneLine = name => name.replace(UNSEEN, escaped);
