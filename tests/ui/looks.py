"""What can be measured of how a page looks; each is JavaScript that returns what is amiss."""

OVERFLOWING = """[document.documentElement, ...document.querySelectorAll(".scrolls")]
  .filter(e => e.scrollWidth > e.clientWidth).map(e => e.className)"""

CONTRAST = """
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const background = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
  };
  const contrast = (...colours) => {
    const [high, low] = colours.map(luminance).sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
"""

FAINT = f"""() => {{
  {CONTRAST}
  const hasText = e => [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
  return [...document.body.querySelectorAll("*")].filter(e => hasText(e) && e.checkVisibility() && !e.closest("svg"))
    .filter(e => contrast(parse(getComputedStyle(e).color), background(e)) < 4.5)
    .map(e => `${{e.className}}: ${{e.textContent.trim().slice(0, 40)}}`);
}}"""
"""Texts with less contrast than WCAG 2.2 asks for at level AA."""

FAINT_FIELDS = f"""() => {{
  {CONTRAST}
  return [...document.querySelectorAll("textarea, input[type=number]")].filter(e => e.checkVisibility()).flatMap(e => [
    ["text", 4.5, contrast(parse(getComputedStyle(e).color), background(e))],
    ["placeholder", 4.5, contrast(parse(getComputedStyle(e, "::placeholder").color), background(e))],
    ["border", 3, contrast(parse(getComputedStyle(e).borderColor), background(e.parentElement))],
  ].filter(([, least, found]) => found < least).map(([part]) => `${{part}} of ${{e.name}}`));
}}"""
"""What of a field has less contrast than WCAG 2.2 asks for at level AA."""

SMALL_TARGETS = """[...document.querySelectorAll("button, summary, textarea, input, label:has(input)")]
  .filter(e => e.checkVisibility() && !(e.matches("input") && e.closest("label")))
  .filter(e => e.getBoundingClientRect().height < 44).map(e => e.id || e.textContent.trim())"""
"""What is too low for a finger."""
