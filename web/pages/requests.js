// The pages' requests, and a log of what each did to the session.

import { base } from './base.js';
import { refusal } from './problems.js';

const kept = 20;

/** Sends an `entry` event when a request, here or in another tab, reports what it did to the session. */
export class Requests extends EventTarget {
  /** Newest first: { at, name, did, session, background }. */
  entries = [];
  #client;
  #underWay = [];

  constructor(client) {
    super();
    this.#client = client;
    client.addEventListener('changed', ({ detail }) => this.#note(detail));
  }

  /**
   * Requests a path of Waxseal. Returns a successful response, and throws any other in the shape of the client's
   * Problem.
   */
  async fetch(path, init = {}) {
    const name = `${init.method ?? 'GET'} ${path}`;
    const response = await this.named(name, init.background, () => this.#client.fetch(new URL(`.${path}`, base), init));
    if (!response.ok) throw await refusal(response);
    return response;
  }

  /** Runs `send`, and logs session changes during it under `name`. */
  async named(name, background, send) {
    const request = { name, background };
    this.#underWay.push(request);
    try {
      return await send();
    } finally {
      this.#underWay.splice(this.#underWay.indexOf(request), 1);
    }
  }

  clear() {
    this.entries = [];
  }

  #note({ session, did }) {
    const request = this.#underWay[0] ?? { name: 'Another tab', background: false };
    const entry = { at: new Date(), did, session, ...request };
    this.entries = [entry, ...this.entries].slice(0, kept);
    this.dispatchEvent(new CustomEvent('entry', { detail: entry }));
  }
}
