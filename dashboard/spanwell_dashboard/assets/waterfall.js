const ROW = 26, EXTRA = 8;
const element = (kind, parent, text) => {
  const made = document.createElement("div");
  made.className = kind;
  if (text !== undefined) made.textContent = text; // names are hostile: text, never markup
  parent.append(made);
  return made;
};
const span = (ms) => (ms >= 1000 ? `${+(ms / 1000).toFixed(2)} s` : `${+ms.toFixed(ms < 10 ? 1 : 0)} ms`);

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".waterfall");
  const kept = root.kept ?? { folded: new Set(), top: 0 }; // what survives a rerun of the page
  root.kept = kept;
  root.textContent = "";
  const head = element("head", root);
  element("name", head, `${data.rows.length.toLocaleString("en")} ${data.rows.length === 1 ? "span" : "spans"}`);
  const axis = element("axis", head);
  for (const part of [0, 0.25, 0.5, 0.75]) element("tick", axis, span(data.total * part)).style.left = `${part * 100}%`;

  const body = element("body", root);
  body.style.maxHeight = `${data.height}px`;
  body.tabIndex = 0;
  body.setAttribute("role", "tree");
  body.setAttribute("aria-label", "Spans of the trace");
  const inner = element("inner", body);
  let selected = data.selected;
  let shown = [];

  const unfold = () => {
    shown = [];
    for (let i = 0; i < data.rows.length; i += kept.folded.has(data.rows[i][0]) ? data.rows[i][3] : 1) shown.push(i);
    inner.style.height = `${shown.length * ROW}px`;
  };
  const line = (at) => {
    const [id, name, depth, size, start, took, color, text, note] = data.rows[shown[at]];
    const row = element("row", inner);
    row.style.top = `${at * ROW}px`;
    row.dataset.span = id;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", depth + 1);
    row.setAttribute("aria-selected", id === selected);
    row.classList.toggle("selected", id === selected);
    row.classList.toggle("failed", note.includes("error"));
    row.title = note ? `${name} (${note})` : name;
    const left = element("name", row);
    left.style.paddingLeft = `${6 + Math.min(depth, 24) * 14}px`;
    const fold = element("fold", left, size > 1 ? (kept.folded.has(id) ? "▶" : "▼") : "");
    element("dot", left).style.background = color;
    element("text", left, name);
    const track = element("track", row);
    const bar = element("bar", track);
    bar.style.cssText = `left:${(start / data.total) * 100}%;width:${(took / data.total) * 100}%;background:${color}`;
    element("took", track, text).style.left = `${((start + took) / data.total) * 100}%`;
    row.onclick = (event) => (event.target === fold && size > 1 ? toggle(id) : choose(at));
  };
  const draw = () => {
    const first = Math.max(0, Math.floor(body.scrollTop / ROW) - EXTRA);
    const last = Math.min(shown.length, first + Math.ceil((body.clientHeight || data.height) / ROW) + 2 * EXTRA);
    inner.textContent = "";
    for (let at = first; at < last; at++) line(at);
    kept.top = body.scrollTop;
  };
  const toggle = (id) => {
    kept.folded.delete(id) || kept.folded.add(id);
    unfold();
    draw();
  };
  const choose = (at) => {
    selected = data.rows[shown[at]][0];
    body.scrollTop = Math.min(Math.max(body.scrollTop, (at + 1) * ROW - body.clientHeight), at * ROW);
    draw();
    setStateValue("span", selected);
  };
  body.onscroll = draw;
  body.onkeydown = (event) => {
    const at = shown.findIndex((i) => data.rows[i][0] === selected);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    const turns = kept.folded.has(selected) ? event.key === "ArrowRight" : event.key === "ArrowLeft";
    if (to === undefined && !turns) return;
    event.preventDefault();
    if (turns && data.rows[shown[at]]?.[3] > 1) toggle(selected);
    else if (shown[to] !== undefined && to !== at) choose(to);
  };
  unfold();
  draw();
  body.scrollTop = kept.top;
}
