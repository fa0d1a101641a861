// Strict parsing, so that a text has one reading: JSON with unique keys, canonical base64url, IDs.

/** @typedef {null | boolean | number | string | Json[] | JsonObject} Json */
/** @typedef {{ [name: string]: Json | undefined }} JsonObject */

const MAX_DEPTH = 8;
const PIECE = /[ \t\n\r]*(?:([{}[\]:,])|("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null))/y;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses one JSON object in UTF-8, with unique keys at every depth, at most eight levels deep. (JSON.parse takes the
 * last of two equal keys.) A number that is not whole, or not exact in JavaScript, becomes NaN.
 * @param {Uint8Array} bytes @returns {JsonObject}
 */
export function parseObject(bytes) {
  const text = utf8.decode(bytes);
  let at = 0;
  const next = () => {
    PIECE.lastIndex = at;
    const found = PIECE.exec(text);
    if (!found) throw new SyntaxError(`not strict JSON at ${at}`);
    at = PIECE.lastIndex;
    return found;
  };
  const string = (/** @type {string} */ quoted) => {
    const value = JSON.parse(quoted);
    if (/\p{Surrogate}/u.test(value)) throw new SyntaxError('half a character');
    return value;
  };
  /** @param {RegExpExecArray} piece @param {number} depth @returns {Json} */
  const value = ([, mark, quoted, number, word], depth) => {
    if (depth > MAX_DEPTH) throw new SyntaxError('too deep');
    if (quoted !== undefined) return string(quoted);
    if (number !== undefined) return /^(?:0|-?[1-9]\d*)$/.test(number) && Number.isSafeInteger(+number) ? +number : NaN;
    if (word !== undefined) return word === 'null' ? null : word === 'true';
    if (mark !== '{' && mark !== '[') throw new SyntaxError('a value is missing');
    /** @type {Json[]} */ const list = [];
    /** @type {JsonObject} */ const object = Object.create(null);
    const end = mark === '{' ? '}' : ']';
    for (let piece = next(); piece[1] !== end || list.length > 0; piece = next()) {
      let key;
      if (end === '}') {
        if (piece[2] === undefined) throw new SyntaxError('a key is missing');
        key = string(piece[2]);
        if (key in object) throw new SyntaxError('a key twice');
        if (next()[1] !== ':') throw new SyntaxError('a colon is missing');
        piece = next();
      }
      const member = value(piece, depth + 1);
      if (key !== undefined) object[key] = member;
      list.push(member);
      const [, after] = next();
      if (after === end) break;
      if (after !== ',') throw new SyntaxError('a comma is missing');
    }
    return mark === '{' ? object : list;
  };
  const root = value(next(), 0);
  if (root === null || typeof root !== 'object' || Array.isArray(root)) throw new SyntaxError('not an object');
  if (/[^ \t\n\r]/.test(text.slice(at))) throw new SyntaxError('something after the object');
  return root;
}

/** Decodes canonical base64url (RFC 4648, section 5, without padding). @param {string} text */
export function fromBase64url(text) {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw new SyntaxError('not canonical base64url');
  return bytes;
}

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
export const isId = (/** @type {unknown} */ it) => typeof it === 'string' && UUID_V7.test(it);
export const isClientId = (/** @type {unknown} */ it) => typeof it === 'string' && it.startsWith('client-') && isId(it.slice(7));
export const isKid = (/** @type {unknown} */ it) => typeof it === 'string' && /^[!-~]{1,128}$/.test(it);

/** Returns the creation time in a UUID of version 7, in ms since 1970. @param {string} id */
export const madeAt = (id) => parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

/** Parses a session ID to lineage and generation. @param {unknown} sid @returns {[string, number] | null} */
export function sessionId(sid) {
  const [lineage, generation, ...rest] = typeof sid === 'string' ? sid.split('.') : [];
  const fits = isId(lineage) && /^(?:0|[1-9]\d{0,9})$/.test(generation ?? '') && Number(generation) < 2 ** 32 && !rest.length;
  return fits ? [/** @type {string} */ (lineage), Number(generation)] : null;
}
