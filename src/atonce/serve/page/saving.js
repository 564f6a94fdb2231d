// Downloads: files that the server makes, or text that the page has.

import { file } from "./api.js";

function save(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export const saveText = (text, name, type) => save(new Blob([text], { type: `${type};charset=utf-8` }), name);

/** Saves the server's response to `body`. */
export async function download(path, body) {
  const { content, name } = await file(path, body);
  save(content, name);
}
