// Requests to the issuer: limited in time and size, and never redirected.

import { parseObject } from './strict.js';

// A page has at most 4096 entries. The limit applies after decompression.
const MAX_BODY = 4 * 1024 * 1024;

/** The answer is not 200. */
export class BadStatus extends Error {
  /** @param {string} path @param {number} status @param {string | null} retryAfter */
  constructor(path, status, retryAfter) {
    super(`${path} answered ${status}`);
    this.path = path;
    this.status = status;
    // In ms. Issuers send seconds, never a date.
    this.retryAfter = [429, 503].includes(status) && /^\d{1,9}$/.test(retryAfter ?? '') ? Number(retryAfter) * 1000 : 0;
  }
}

/** The answer did not come in time. */
export class Late extends Error {}

export class Requests {
  #at;
  #fetch;
  #timeout;
  /** @type {Set<AbortController>} */
  #open = new Set();
  #closed = false;

  /** @param {string} at @param {typeof fetch} fetcher @param {number} timeout */
  constructor(at, fetcher, timeout) {
    this.#at = at.replace(/\/+$/, '');
    this.#fetch = fetcher;
    this.#timeout = timeout;
  }

  /** Aborts all requests in progress. */
  close() {
    this.#closed = true;
    for (const abort of this.#open) abort.abort();
  }

  /** Requests one JSON object, and parses it strictly. @param {string} path @param {RequestInit} [init] */
  async object(path, init) {
    let length = 0;
    /** @type {Uint8Array[]} */ const pieces = [];
    await this.#send(path, init, this.#timeout, false, (piece) => {
      length += piece.length;
      if (length > MAX_BODY) throw new Error(`an answer of more than ${MAX_BODY} bytes`);
      pieces.push(piece);
    });
    return parseObject(Buffer.concat(pieces));
  }

  /** Calls `heard` for each piece of a stream, until the stream ends or is silent for `silence` ms. @param {string} path @param {RequestInit} init @param {number} silence @param {() => void} heard */
  stream(path, init, silence, heard) {
    return this.#send(path, init, silence, true, heard);
  }

  /** @param {string} path @param {RequestInit | undefined} init @param {number} timeout @param {boolean} lasts @param {(piece: Uint8Array) => void} take */
  async #send(path, init, timeout, lasts, take) {
    if (this.#closed) throw new Error('the verifier is closed');
    const [name] = path.split('?');
    const abort = new AbortController();
    this.#open.add(abort);
    const late = () => abort.abort(new Late(`${name} did not answer in time`));
    let timer = setTimeout(late, timeout);
    const receive = async () => {
      const answer = await this.#fetch(this.#at + path, { ...init, redirect: 'error', signal: abort.signal });
      if (answer.status !== 200) throw new BadStatus(String(name), answer.status, answer.headers.get('retry-after'));
      for await (const piece of /** @type {AsyncIterable<Uint8Array>} */ (/** @type {unknown} */ (answer.body ?? []))) {
        if (lasts) {
          clearTimeout(timer);
          timer = setTimeout(late, timeout);
        }
        take(piece);
      }
    };
    // In some versions, above all Node 18, an aborted fetch does not always end.
    const aborted = new Promise((_, reject) => { abort.signal.addEventListener('abort', () => reject(abort.signal.reason)); });
    aborted.catch(() => {});
    try {
      await Promise.race([receive(), aborted]);
    } finally {
      clearTimeout(timer);
      this.#open.delete(abort);
      // Discards the rest of an unfinished answer.
      abort.abort();
    }
  }
}
