/** Where events wait that the server has not confirmed yet: IndexedDB, so that they survive the page. */

import type { FeedbackEvent } from "./event";

/** An event with the key or token it is sent under. */
export interface Entry {
  id: string;
  auth: string;
  event: FeedbackEvent;
}

/** Keeps entries by id; every promise settles, and without IndexedDB (private windows) nothing is kept. */
export interface Shelf {
  all(): Promise<Entry[]>;
  put(entry: Entry): Promise<unknown>;
  remove(ids: string[]): Promise<unknown>;
}

const STORE = "events";

/** Open the shelf called `name`. */
export function openShelf(name: string): Shelf {
  const opened = new Promise<IDBDatabase | undefined>((resolve) => {
    try {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
      request.onsuccess = () => {
        // A newer version in another tab must not wait for this page to close.
        request.result.onversionchange = () => request.result.close();
        resolve(request.result);
      };
      request.onerror = request.onblocked = () => resolve(undefined);
    } catch {
      resolve(undefined);
    }
  });

  async function work<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T> | undefined) {
    const database = await opened;
    return new Promise<T | undefined>((resolve) => {
      try {
        const transaction = database!.transaction(STORE, mode);
        const request = act(transaction.objectStore(STORE));
        transaction.oncomplete = () => resolve(request?.result);
        transaction.onabort = () => resolve(undefined);
      } catch {
        resolve(undefined);
      }
    });
  }

  return {
    all: async () => (await work<Entry[]>("readonly", (store) => store.getAll())) ?? [],
    put: (entry) => work("readwrite", (store) => store.put(entry)),
    remove: (ids) =>
      work("readwrite", (store) => {
        for (const id of ids) store.delete(id);
        return undefined;
      }),
  };
}
