// Files for the user: what the server drew, or what the page holds.

import { file } from "./api.js";

function save(content, name) {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export const saveText = (text, name, type) => save(new Blob([text], { type: `${type};charset=utf-8` }), name);

/** What the server answers to `body`, as a file. */
export async function download(path, body) {
  const { content, name } = await file(path, body);
  save(content, name);
}
