"""A page that steps through a picture: one file, no network, works from disk; without script it shows the end."""

import re

from gradatim.autodiff.drawing.scene import DARK, LIGHT, Scene, clean


def stepping_page(scene: Scene) -> str:
    """The scene as a self-contained HTML page with buttons, a slider and the arrow keys."""
    parts = {
        "TITLE": clean(scene.title),
        "LIGHT": "".join(f"--{name}:{colour};" for name, colour in LIGHT.items()),
        "DARK": "".join(f"--{name}:{colour};" for name, colour in DARK.items()),
        "LAST": str(max(scene.steps - 1, 0)),
        "NATURAL": f"{scene.width:.0f}px",
        "SMALLEST": f"{0.75 * scene.width:.0f}px",  # a little narrower on a phone, then it scrolls
        "PICTURE": scene.svg(marked=True),
    }
    return re.sub("|".join(parts), lambda found: parts[found.group()], _PAGE)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'">
<title>TITLE</title><style>
:root{color-scheme:light dark;LIGHT}@media (prefers-color-scheme:dark){:root{DARK}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:100%;padding:0 0 5.5rem}
.picture{overflow:auto;padding:.5rem}
.picture svg{display:block;margin:0 auto;width:100%;height:auto;max-width:NATURAL;min-width:SMALLEST}
nav{position:fixed;bottom:0;left:0;right:0;display:flex;gap:.5rem;align-items:center;padding:.6rem 1rem;
background:var(--raised);border-top:1px solid var(--rule)}
button{font:inherit;min-width:2.75rem;min-height:2.75rem;border:1px solid var(--rule);border-radius:8px;
background:var(--paper);color:var(--ink);cursor:pointer}
button:focus-visible,input:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
input{flex:1;min-width:0;accent-color:var(--accent)}
output{font-variant-numeric:tabular-nums;color:var(--muted);min-width:4.2rem;text-align:right}
[hidden]{display:none}
</style></head><body><main><div class="picture" tabindex="0" aria-label="Picture">PICTURE</div></main>
<nav hidden><button id="back" aria-label="One step back">‹</button><button id="play" aria-label="Play">▶</button>
<button id="on" aria-label="One step on">›</button>
<input id="at" type="range" min="0" max="LAST" value="0" aria-label="Step"><output id="shown"></output></nav>
<script>
"use strict";
const parts = [...document.querySelectorAll("[data-since]")], last = LAST;
const [at, shown, play] = ["at", "shown", "play"].map(name => document.getElementById(name));
let timer = 0;
function show(step) {
  step = Math.max(0, Math.min(last, step));
  at.value = step; shown.textContent = `${step} of ${last}`;
  for (const part of parts) {
    const until = part.dataset.until;
    part.style.display = step >= +part.dataset.since && (until === undefined || step < +until) ? "" : "none";
  }
}
function halt() { clearInterval(timer); timer = 0; play.textContent = "▶"; play.setAttribute("aria-label", "Play"); }
function go(step) { halt(); show(step); }
document.getElementById("back").onclick = () => go(+at.value - 1);
document.getElementById("on").onclick = () => go(+at.value + 1);
at.oninput = () => go(+at.value);
play.onclick = () => {
  if (timer) return halt();
  if (+at.value === last) show(0);
  play.textContent = "❚❚"; play.setAttribute("aria-label", "Pause");
  timer = setInterval(() => { if (+at.value === last) halt(); else show(+at.value + 1); }, 1600);
};
addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT") return;
  if (event.key === "ArrowRight") go(+at.value + 1);
  if (event.key === "ArrowLeft") go(+at.value - 1);
});
document.querySelector("nav").hidden = false;
show(0);
</script></body></html>
"""
