// How many texts a page shows, and those whose contrast is below 4.5 (WCAG 2.2, 1.4.3: relative luminance).
() => {
  const channels = (text) => text.match(/[\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, n) => sum + weight * linear(rgb[n] / 255), 0);
  const background = (e) => {
    for (; e; e = e.parentElement) {
      const [r, g, b, alpha = 1] = channels(getComputedStyle(e).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const lines = [];
  let count = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest("script, style, title, metadata, defs") || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const own = luminance(channels(e.closest("svg") ? style.fill : style.color)), other = luminance(background(e));
    const contrast = (Math.max(own, other) + 0.05) / (Math.min(own, other) + 0.05);
    count += 1;
    if (contrast < 4.5) lines.push(`${contrast.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
  }
  return [count, lines];
}
