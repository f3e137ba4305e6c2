#include "host/report/style.hpp"

namespace culatent::report {

std::string_view style_sheet() {
  return R"(
:root{color-scheme:light dark;
--paper:#fdfdfc;--panel:#f4f5f5;--ink:#1c2229;--muted:#59636e;--rule:#dde1e5;--grid:#e9ecef;
--warn:#8a4b00;--warn-paper:#fff5e3;--halo:#fdfdfc;
--s0:#0072b2;--s1:#d55e00;--s2:#009e73;--s3:#7a1140;--s4:#8f74f2;--s5:#5c3a0c;--s6:#3a2a8c;--s7:#41a5dd;
--serif:Charter,"Bitstream Charter","Iowan Old Style","Source Serif 4",Georgia,"DejaVu Serif",serif;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;
--mono:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{
--paper:#14171b;--panel:#1c2026;--ink:#e6e9ec;--muted:#9ba5af;--rule:#343b43;--grid:#262c33;
--warn:#f3c27a;--warn-paper:#33270f;--halo:#14171b;
--s0:#3f8fd0;--s1:#f08344;--s2:#7fe0c0;--s3:#e5588e;--s4:#b9a5ff;--s5:#a8673c;--s6:#f7c948;--s7:#f3eebc}}
*{box-sizing:border-box}
html{background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans);-webkit-text-size-adjust:100%}
body{max-width:1080px;margin:0 auto;padding:56px 32px 72px}
h1,h2,.lead,.fact b{font-family:var(--serif)}
h1{font-size:2.35rem;line-height:1.15;font-weight:600;letter-spacing:-.012em;margin:.25rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.4rem;font-weight:600;margin:3.2rem 0 1rem;padding-top:1rem;border-top:1px solid var(--rule)}
p{max-width:72ch;margin:.6rem 0}
.eyebrow{font-size:.8rem;letter-spacing:.09em;text-transform:uppercase;color:var(--muted);margin:0}
.lead{font-size:1.2rem;line-height:1.5;max-width:62ch;overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:0 28px;margin:2rem 0 0;padding:0}
.fact{border-top:2px solid var(--ink);padding:.6rem 0 .8rem}
.fact span{display:block;font-size:.82rem;color:var(--muted)}
.fact b{display:block;font-size:1.75rem;line-height:1.3;font-weight:600;font-variant-numeric:lining-nums}
.warning{background:var(--warn-paper);color:var(--warn);border-left:4px solid currentColor;padding:.8rem 1.1rem;margin:1.6rem 0 0}
.warning p{margin:.25rem 0}.warning code{font-size:.85em}
.groups{margin:1.2rem 0 0;padding:0;list-style:none}
.groups li{display:grid;grid-template-columns:1.2em 4.2em 1fr auto;gap:.4em;padding:.35rem 0;border-bottom:1px solid var(--grid);align-items:baseline}
.groups small{color:var(--muted)}.groups b{font-variant-numeric:tabular-nums;text-align:right;padding-right:.6em}
figure{margin:1.2rem 0 1.6rem;break-inside:avoid}
figcaption{color:var(--muted);font-size:.875rem;max-width:80ch;margin-top:.5rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:8px 36px}
.pair figure{margin:.4rem 0}
svg{display:block;width:100%;height:auto;overflow:visible}
svg svg{overflow:hidden}
svg text{font:12px var(--sans);fill:var(--muted);font-variant-numeric:tabular-nums}
svg .label{font-size:13px;fill:var(--ink)}svg .name{font-size:13px;fill:var(--ink)}
svg .strong{font-weight:600;fill:var(--ink)}
.mid{text-anchor:middle}.end{text-anchor:end}
.grid{stroke:var(--grid)}.axis{stroke:var(--muted)}.frame{fill:none;stroke:var(--rule)}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}
.s4{--c:var(--s4)}.s5{--c:var(--s5)}.s6{--c:var(--s6)}.s7{--c:var(--s7)}.ink{--c:var(--ink)}.soft{--c:var(--muted)}
.dots{fill:none;stroke:var(--c);stroke-width:4.4;stroke-linecap:round;stroke-opacity:.62}
.dots.medium{stroke-width:3.5}
.dots.small{stroke-width:2.6;stroke-opacity:.55}
.crosses,.bars{fill:none;stroke:var(--c);stroke-width:1.5;stroke-opacity:.75}
.crosses.small,.bars.small{stroke-width:1;stroke-opacity:.65}
.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.line.thick{stroke-width:2.6}.dash{fill:none;stroke:var(--muted);stroke-width:1.4;stroke-dasharray:5 4}
.marks{fill:none;stroke:var(--c);stroke-width:6;stroke-linecap:round}
.area{fill:var(--c);fill-opacity:.16;stroke:none}.bar{fill:var(--c)}.hist{fill:var(--muted);fill-opacity:.22}
.contour{fill:none;stroke:var(--muted);stroke-width:1;stroke-opacity:.75;stroke-linecap:round}
.ellipse{fill:none;stroke:var(--c);stroke-width:2}.ellipse.outer{stroke-width:1.3;stroke-opacity:.75}
.ellipse.thin{stroke-width:1.4}
.halo{fill:none;stroke:var(--halo);stroke-width:4.5;stroke-opacity:.7}
svg .number{font-weight:700;font-size:13px;fill:var(--c);paint-order:stroke;stroke:var(--halo);stroke-width:4px;stroke-linejoin:round}
svg .number.tiny{font-size:9.5px;stroke-width:3px}
.rug{fill:none;stroke:var(--c);stroke-width:1;stroke-opacity:.55}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.4rem;list-style:none;margin:.6rem 0 0;padding:0;font-size:.875rem}
.legend li::before,.swatch::before{content:"";display:inline-block;width:.72em;height:.72em;border-radius:50%;background:var(--c);margin-right:.45em}
.legend .crosses::before,.legend .bars::before{border-radius:0;background:none;content:"×";color:var(--c);width:auto;height:auto;font-weight:700}
.legend .bars::before{content:"|"}
.scroll{overflow-x:auto;margin:1rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;width:100%}
caption{text-align:left;color:var(--muted);padding-bottom:.5rem}
th,td{padding:.4rem .8rem .4rem 0;border-bottom:1px solid var(--grid);text-align:left;vertical-align:baseline}
thead th{border-bottom:1px solid var(--muted);font-weight:600;vertical-align:bottom}
.numeric th:not(:first-child),.numeric td{text-align:right;white-space:nowrap;padding-left:.8rem}
tbody th{font-weight:400;overflow-wrap:anywhere}
td .pm{color:var(--muted)}
.plain{max-width:720px}
.images{display:grid;grid-template-columns:repeat(auto-fill,minmax(112px,1fr));gap:20px 18px;margin:1.2rem 0}
.images div{font-size:.85rem;color:var(--muted)}.images b{color:var(--ink);font-weight:600;display:block}
.images img{display:block;width:100%;height:auto;image-rendering:pixelated;border:1px solid var(--rule);margin-bottom:.35rem}
.scale{display:flex;align-items:center;gap:.6rem;font-size:.85rem;color:var(--muted)}
.scale img{height:12px;width:220px;border:1px solid var(--rule)}
pre{background:var(--panel);padding:.9rem 1.1rem;overflow-x:auto;font:.85rem/1.5 var(--mono);white-space:pre-wrap;overflow-wrap:anywhere}
code{font-family:var(--mono);font-size:.92em}
details{margin:1rem 0}summary{cursor:pointer;color:var(--muted);font-size:.9rem}
.stage,.player{max-width:976px}.stage{position:relative;border:1px solid var(--rule);overflow:hidden}
.stage canvas{display:block;width:100%;cursor:grab;touch-action:pan-y pinch-zoom}
.stage canvas:active{cursor:grabbing}.stage canvas:focus-visible{outline:2px solid var(--s0);outline-offset:-2px}
.tip{position:absolute;pointer-events:none;background:var(--ink);color:var(--paper);font-size:.8rem;line-height:1.3;padding:.25rem .5rem;border-radius:3px;white-space:nowrap;font-variant-numeric:tabular-nums}
.tools{position:absolute;right:8px;top:8px;display:flex;gap:4px}
.live button{font:600 .85rem/1 var(--sans);min-width:2rem;height:2rem;padding:0 .6rem;color:var(--ink);background:var(--panel);border:1px solid var(--rule);border-radius:4px;cursor:pointer}
.live button:hover{border-color:var(--muted)}
.player{display:grid;grid-template-columns:5rem 1fr 18em;gap:.8rem;align-items:center;margin-top:.6rem}
.player output{font-size:.875rem;color:var(--muted);font-variant-numeric:tabular-nums}
.legend [role=switch]{cursor:pointer}.legend [aria-checked=false]{opacity:.4;text-decoration:line-through}
[hidden]{display:none!important}
footer{margin-top:4rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--muted);font-size:.85rem}
@media (max-width:640px){body{padding:28px 16px 48px}h1{font-size:1.8rem}.player{grid-template-columns:5rem 1fr}.player output{grid-column:1/-1}}
@media print{html{font-size:10.5pt;background:none}body{max-width:none;padding:0}
h2{break-after:avoid;margin-top:1.8rem}.pair{grid-template-columns:1fr 1fr}.facts{grid-template-columns:repeat(4,1fr)}tr,.images div{break-inside:avoid}.tools,.player,.tip{display:none}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
)";
}

}  // namespace culatent::report
