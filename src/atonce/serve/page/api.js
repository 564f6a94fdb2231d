// Asking the server. A refusal is an error with what, why and fix.

export class Refusal extends Error {
  constructor(status, fault) {
    super(fault.what);
    this.status = status;
    this.fault = fault;
  }
}

const KEY = "atonce token";

export function rememberToken(token) {
  sessionStorage.setItem(KEY, token);
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { what: "the server does not answer", why: "it may have ended", fix: "start it again" });
  }
  if (answer.ok) return answer;
  const odd = { what: `the server said ${answer.status}`, why: "no more is known", fix: "try again" };
  throw new Refusal(answer.status, await answer.json().catch(() => odd));
}

export const get = async (path, signal) => (await ask(path, { signal })).json();

const posted = (path, body, signal) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });

export const post = async (path, body, signal) => (await posted(path, body, signal)).json();

/** The answer as a file, and its name. */
export async function file(path, body) {
  const answer = await posted(path, body);
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "");
  return { content: await answer.blob(), name: name ? name[1] : "atonce" };
}

/** Runs one question at a time: a new one takes the place of the one before. */
export function latest() {
  let controller = null;
  return async (question) => {
    controller?.abort();
    controller = new AbortController();
    const own = controller;
    try {
      return await question(own.signal);
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      throw error;
    }
  };
}
