// What of a page cannot be seen at the present width: one line for each element.
() => {
  const lines = [];
  const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
  if (document.documentElement.scrollWidth > innerWidth) lines.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const e of document.body.querySelectorAll("*")) {
    if (e.ownerSVGElement || !e.getClientRects().length) continue;
    const name = `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 40)}`;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    const isWide = style.display !== "inline" && e.clientWidth && e.scrollWidth > e.clientWidth + 1;
    if (e.tagName === "svg") {
      const isInside = ({ left, right, top, bottom }) => left > box.left - 1 && right < box.right + 1 && top > box.top - 1 && bottom < box.bottom + 1;
      for (const text of e.querySelectorAll("text")) if (!isInside(text.getBoundingClientRect())) lines.push(`${text.textContent} leaves its picture`);
    } else if (style.textOverflow === "ellipsis" || style.overflowX === "hidden") lines.push(`${name} hides its end`);
    if (isWide && !scrolls(e)) lines.push(`${name} is wider than its place`);
    if (isWide && scrolls(e) && e.tabIndex !== 0) lines.push(`${name} scrolls without the keyboard`);
    let inside = e;
    while (inside && !scrolls(inside)) inside = inside.parentElement;
    if (!inside && (box.right > innerWidth + 1 || box.left < -1)) lines.push(`${name} ends at ${box.right}`);
  }
  return lines;
}
