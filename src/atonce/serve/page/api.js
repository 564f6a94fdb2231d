// Requests to the server. What it refuses is thrown as an HTTPError with what, why and fix.

export class HTTPError extends Error {
  constructor(status, body) {
    super(body.what);
    this.status = status;
    this.body = body;
  }
}

const KEY = "atonce token";

export function rememberToken(token) {
  sessionStorage.setItem(KEY, token);
}

async function request(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new HTTPError(0, { what: "the server does not answer", why: "it may have stopped", fix: "start it again" });
  }
  if (response.ok) return response;
  // A proxy in front of the server may answer with a page of its own, which is no JSON.
  const unknown = { what: `the server answered ${response.status}`, why: "it gave no reason", fix: "try again" };
  throw new HTTPError(response.status, await response.json().catch(() => unknown));
}

export const get = async (path, signal) => (await request(path, { signal })).json();

const send = (path, body, signal) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });

export const post = async (path, body, signal) => (await send(path, body, signal)).json();

/** The response as a file, and its name. */
export async function file(path, body) {
  const response = await send(path, body);
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  return { content: await response.blob(), name: name ? name[1] : "atonce" };
}

/** Runs one task at a time: a new one aborts the one before, which then gives undefined. */
export function latest() {
  let controller = null;
  return async (task) => {
    controller?.abort();
    controller = new AbortController();
    const own = controller;
    try {
      return await task(own.signal);
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      throw error;
    }
  };
}
