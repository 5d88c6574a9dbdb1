"use strict";
// The browser of sentences. Words and labels only ever become text nodes.
const data = JSON.parse(document.getElementById("data").textContent);
const [kind, relation, other, search, shown, list, more] =
  ["kind", "relation", "other", "search", "shown", "sentences", "more"].map((id) => document.getElementById(id));
const STEP = 50;
let chosen = [];
let drawn = 0;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}
function line(side, words, spans) {
  const row = element("p");
  row.append(element("span", side, "side"), " ");
  let at = 0;
  for (const [start, end, label, what] of spans) {
    if (start > at) row.append(element("bdi", words.slice(at, start).join(" ")), " ");
    const mark = element("mark", undefined, what === "right" ? "" : "wrong");
    const note = what === "right" ? label : `${label} · ${what}`;
    mark.append(element("bdi", words.slice(start, end).join(" ")), element("small", note));
    row.append(mark, " ");
    at = end;
  }
  if (at < words.length) row.append(element("bdi", words.slice(at).join(" ")));
  return row;
}
function sentence(one) {
  const box = element("div", undefined, "sentence");
  box.append(element("p", one.id, "quiet"), line("gold", one.words, one.gold), line("said", one.words, one.said));
  return box;
}
function wanted(one, i) {
  if (kind.value === "any" && !one.errors.length) return false;
  if (kind.value && kind.value !== "any" && !one.errors.includes(kind.value)) return false;
  if (relation.value) {
    const ours = !one.errors.length;
    const theirs = data.others[other.value].right[i] === "1";
    if (relation.value === "better" && !(ours && !theirs)) return false;
    if (relation.value === "worse" && !(theirs && !ours)) return false;
    if (relation.value === "wrong" && (ours || theirs)) return false;
  }
  return one.words.join(" ").toLowerCase().includes(search.value.toLowerCase());
}
function draw() {
  list.append(...chosen.slice(drawn, drawn + STEP).map(sentence));
  drawn = Math.min(drawn + STEP, chosen.length);
  more.hidden = drawn === chosen.length;
  shown.textContent = `${chosen.length} of ${data.sentences.length} sentences`;
}
function refresh() {
  chosen = data.sentences.filter(wanted);
  drawn = 0;
  list.replaceChildren();
  draw();
}
if (data.sentences.length) {
  data.others.forEach((one, i) => {
    const option = element("option", one.name);
    option.value = i;
    other.append(option);
  });
  for (const control of [kind, relation, other]) {
    control.addEventListener("change", refresh);
    if (!data.others.length && control !== kind) control.closest("label").hidden = true;
  }
  search.addEventListener("input", refresh);
  more.addEventListener("click", draw);
  refresh();
}
