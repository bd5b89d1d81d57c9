#include "telemetry/report/parts.h"

namespace sgrpo::telemetry::report {

// Run colours follow Okabe and Ito's palette, darkened on white and lightened on black until thin
// lines keep a contrast of 3:1; runs from the fifth on are dashed as well.
std::string_view style_sheet() {
  return R"css(
:root { color-scheme: light dark;
  --bg: #fbfbfa; --card: #fff; --ink: #1d2127; --soft: #636a74; --line: #e3e4e6; --grid: #eeeff0;
  --c0: #0068a8; --c1: #cc5500; --c2: #008a63; --c3: #b0417f; --c4: #a87b00; --c5: #2f8fc4;
  --c6: #5f6368; --c7: #6d4fa3;
  --fail: #7d8590; --mixed: #ecc25f; --pass: #a9d8c5; --good: #00704f; --bad: #b34700;
  --odd: #7a5c00; --goodbg: #e0f3ec; --badbg: #fbe9dd; --oddbg: #f8f0d8; --pillbg: #f0f1f2;
  --p0: #8d99a6; --p1: #6d4fa3; --p2: #0068a8; --p3: #a87b00; --p4: #2f7f9f; --p5: #cc5500;
  --p6: #b0417f; --p7: #008a63; --p8: #5f6368; --p9: #7a5230; --onbar: #fff; }
@media (prefers-color-scheme: dark) { :root {
  --bg: #15171a; --card: #1d2024; --ink: #e6e8ea; --soft: #9aa2ac; --line: #31353b; --grid: #292d32;
  --c0: #5cb3f2; --c1: #ff8c4d; --c2: #3fcf9f; --c3: #ea9cca; --c4: #efc04a; --c5: #a5dcff;
  --c6: #b8bcc2; --c7: #b9a0ee;
  --fail: #4d545d; --mixed: #b98d22; --pass: #4fa385; --good: #6fdcb5; --bad: #ffab7a;
  --odd: #efd07a; --goodbg: #17382e; --badbg: #43291a; --oddbg: #3b331a; --pillbg: #2a2e33;
  --p0: #7f8b98; --p1: #a78fe0; --p2: #5cb3f2; --p3: #d9a936; --p4: #66b7cf; --p5: #ff8c4d;
  --p6: #e08abd; --p7: #3fcf9f; --p8: #9aa0a6; --p9: #c49a6c; --onbar: #14161a; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3.2rem; }
body { margin: 0 auto; padding: 2rem clamp(1rem, 3vw, 2.5rem) 3rem; max-width: 1560px;
  background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.015em; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.4rem 0 .6rem; }
code { font: .92em ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, monospace; }
small { color: var(--soft); font-size: .82em; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; }
nav a { color: var(--soft); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--ink); text-decoration: underline; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; margin: 0 0 .8rem; }
.legend.runs { position: sticky; top: 0; z-index: 1; margin: 1rem 0 0; padding: .55rem 0;
  background: var(--bg); border-bottom: 1px solid var(--line); font-weight: 600; }
.note, footer { color: var(--soft); font-size: .9rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); }
.mark { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin-right: .45em; }
.mark.fail { background: var(--fail); } .mark.mixed { background: var(--mixed); }
.mark.pass { background: var(--pass); }
.mark.dash { height: 0; width: 1.3em; border-top: 2px dashed var(--ink); border-radius: 0;
  vertical-align: .25em; }
div.grid { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.grid + .note, .grid + .grid { margin-top: 1rem; }
figure { margin: 0; padding: .7rem .8rem .3rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; min-width: 0; display: flex;
  flex-direction: column; justify-content: space-between; }
figcaption { display: flex; flex-wrap: wrap; column-gap: .7em; align-items: baseline;
  margin-bottom: .3rem; }
figcaption b { font: 600 .86rem ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, monospace;
  overflow-wrap: anywhere; }
figcaption b.plain { font: inherit; font-weight: 600; }
figcaption span { color: var(--soft); font-size: .83rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg svg { overflow: hidden; }
svg text { font-size: 11px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
svg .last { font-weight: 600; }
svg .grid, svg .zero { stroke: var(--grid); fill: none; }
svg .zero { stroke: var(--soft); stroke-opacity: .55; }
.curve { fill: none; stroke-width: 1.9; stroke-linejoin: round; stroke-linecap: round; }
.raw { fill: none; stroke-width: 1; stroke-opacity: .22; stroke-linejoin: round; }
.injected { fill: none; stroke: var(--ink); stroke-width: 1.7; stroke-dasharray: 5 3.5; }
.area { stroke: var(--card); stroke-width: .8; }
.area.fail { fill: var(--fail); } .area.mixed { fill: var(--mixed); }
.area.pass { fill: var(--pass); }
.hover { fill: transparent; } .hover:hover { fill: var(--soft); fill-opacity: .13; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); }
.s3 { stroke: var(--c3); } .s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); }
.s6 { stroke: var(--c6); } .s7 { stroke: var(--c7); }
.curve.s4, .curve.s5, .curve.s6, .curve.s7 { stroke-dasharray: 7 3; }
.f0, svg .t0 { fill: var(--c0); } .f1, svg .t1 { fill: var(--c1); }
.f2, svg .t2 { fill: var(--c2); } .f3, svg .t3 { fill: var(--c3); }
.f4, svg .t4 { fill: var(--c4); } .f5, svg .t5 { fill: var(--c5); }
.f6, svg .t6 { fill: var(--c6); } .f7, svg .t7 { fill: var(--c7); }
.b0 { background: var(--c0); } .b1 { background: var(--c1); } .b2 { background: var(--c2); }
.b3 { background: var(--c3); } .b4 { background: var(--c4); } .b5 { background: var(--c5); }
.b6 { background: var(--c6); } .b7 { background: var(--c7); }
.p0, .q0 { background: var(--p0); } .p1, .q1 { background: var(--p1); }
.p2, .q2 { background: var(--p2); } .p3, .q3 { background: var(--p3); }
.p4, .q4 { background: var(--p4); } .p5, .q5 { background: var(--p5); }
.p6, .q6 { background: var(--p6); } .p7, .q7 { background: var(--p7); }
.p8, .q8 { background: var(--p8); } .p9, .q9 { background: var(--p9); }
.scroll { overflow-x: auto; width: fit-content; max-width: 100%; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; padding-bottom: .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .9rem; text-align: left; border-top: 1px solid var(--grid);
  white-space: nowrap; font-weight: inherit; }
thead th { font-weight: 600; padding: .5rem .9rem; border-top: 0; }
.group th { padding-top: .8rem; color: var(--soft); font-size: .85rem; font-weight: 600; }
.num { text-align: right; }
.summary .num { padding: .22rem 0 .22rem .9rem; } td.best { font-weight: 700; }
.peak { color: var(--soft); font-size: .82em; padding-left: .6em; }
.bars { display: grid; grid-template-columns: max-content 1fr max-content; gap: .5rem .9rem;
  align-items: center; margin-bottom: 1.1rem; }
.track { min-width: 0; } .bar { display: flex; height: 1.9rem; gap: 1px; border-radius: 5px;
  overflow: hidden; }
.bar span { flex-basis: 0; min-width: 0; overflow: hidden; white-space: nowrap;
  color: var(--onbar); font-size: .78rem; line-height: 1.9rem; text-align: center; }
.p10 { background: repeating-linear-gradient(45deg, var(--line) 0 4px, var(--card) 4px 8px); }
.bar .p10 { color: var(--soft); }
.total { font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll + .grid { margin-top: 1rem; }
.cards { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); }
article { display: flex; gap: 1rem; padding: .9rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; min-width: 0; }
.pictures { flex: none; display: flex; flex-direction: column; gap: .5rem; }
.pictures img { display: block; max-width: 128px; max-height: 192px; border-radius: 4px;
  border: 1px solid var(--line); }
.pictures img.pixels { width: 128px; height: auto; image-rendering: pixelated; }
.noimage { width: 128px; padding: .8rem .5rem; border: 1px dashed var(--line); border-radius: 4px;
  color: var(--soft); font-size: .8rem; text-align: center; overflow-wrap: anywhere; }
.text { min-width: 0; flex: 1; }
.badges { display: flex; flex-wrap: wrap; gap: .3rem; }
.badge { padding: .08rem .55rem; border-radius: 1rem; background: var(--pillbg);
  color: var(--soft); font-size: .78rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
.badge.good { background: var(--goodbg); color: var(--good); font-weight: 600; }
.badge.bad { background: var(--badbg); color: var(--bad); font-weight: 600; }
.badge.odd { background: var(--oddbg); color: var(--odd); font-weight: 600; }
.badge.injected { background: none; color: var(--ink); outline: 1.5px dashed var(--soft);
  outline-offset: -1.5px; }
dl { margin: .6rem 0 0; } dt { color: var(--soft); font-size: .78rem; margin-top: .45rem; }
dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 14rem;
  overflow-y: auto; }
dd.prompt { color: var(--soft); }
@media (max-width: 560px) { article { flex-direction: column; }
  .bars { grid-template-columns: 1fr max-content; } .bars .name { grid-column: 1 / 3; } }
@media print { .legend.runs { position: static; } figure, article { break-inside: avoid; } }
)css";
}

}  // namespace sgrpo::telemetry::report
