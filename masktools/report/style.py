"""How the page looks: on screens light and dark, narrow and wide, and on paper."""

__all__ = ["SCRIPT", "STYLE"]

_LIGHT = (
    "color-scheme:light;--paper:#fff;--ink:#1b1b1b;--soft:#4a4a4a;--muted:#6b6b6b;--grid:#dcdcdc;--line:#c4c4c4;"
    "--panel:#f4f5f7;--link:#0058a3;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b87a00;--c4:#b8568f;--c5:#3a97d0"
)
"""The pictures' colours, those of them that are too pale for white made darker."""

_DARK = (
    "color-scheme:dark;--paper:#14171a;--ink:#e8e8e8;--soft:#c2c4c7;--muted:#9a9da1;--grid:#33373c;--line:#4a4f55;"
    "--panel:#1e2226;--link:#7cbcf0;--c0:#4da6de;--c1:#f08a3c;--c2:#2fc79b;--c3:#e8b13a;--c4:#e39cc6;--c5:#8fd0f5"
)

_RULES = """
*{box-sizing:border-box}
html{--font:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--font)}
header,main,footer,nav{max-width:70rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.5rem}
h1{font-size:1.7rem;line-height:1.25;margin:.2rem 0;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:2.4rem 0 .6rem;padding-top:.5rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.5rem 0 .4rem;overflow-wrap:anywhere}
p,dd,li{max-width:46rem;overflow-wrap:anywhere}
a{color:var(--link)}
a:focus-visible,button:focus-visible,summary:focus-visible,.scroll:focus-visible{
outline:2px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.3rem .6rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;padding:0;margin:.8rem 0;list-style:none}
nav a{display:inline-block;padding:.15rem 0}
.missing{background:var(--panel);border-left:4px solid var(--line);padding:.6rem .9rem}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));
gap:1.2rem 1.6rem;align-items:start}
.plots.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,18rem),1fr))}
.pair{display:flex;flex-wrap:wrap;gap:0 2rem;align-items:flex-start}
.pair>figure{flex:0 1 calc(var(--width)*1.15)}
.pair>.table{flex:0 1 auto;min-width:0;max-width:100%}
.pair>.table>p{width:0;min-width:100%}
figure{margin:.6rem 0;max-width:calc(var(--width)*1.15);min-width:0}
figure svg{display:block;width:100%;min-width:calc(var(--width)*.64);height:auto;overflow:visible}
figure svg *{stroke-linejoin:round;stroke-linecap:butt}
figure svg text{fill:var(--ink)}
figcaption{font-size:.86rem;line-height:1.45;color:var(--soft);margin-top:.3rem;overflow-wrap:anywhere}
.table{margin:1rem 0}
.table>p{font-size:.88rem;color:var(--soft);margin:.35rem 0}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.2rem 0 .4rem}
caption span{position:sticky;left:0;display:inline-block;max-width:calc(100vw - 2.5rem)}
th,td{padding:.28rem .7rem .28rem 0;text-align:left;border-bottom:1px solid var(--grid);vertical-align:top}
thead th{border-bottom:1px solid var(--line);color:var(--soft);font-weight:600;vertical-align:bottom}
tbody th{font-weight:400;white-space:nowrap}
.n{text-align:right}
thead th.n{min-width:5rem}
td{white-space:nowrap}
details td{white-space:normal;overflow-wrap:anywhere;min-width:12rem}
button{font:inherit;font-size:.82rem;color:var(--ink);background:var(--panel);border:1px solid var(--line);
border-radius:4px;padding:.15rem .6rem;cursor:pointer}
summary{cursor:pointer;margin:.6rem 0}
dt{font-weight:600;margin-top:.9rem}
dd{margin:.15rem 0 0}
footer{padding-top:1.5rem;padding-bottom:2rem;color:var(--soft);font-size:.88rem}
@media (max-width:40rem){body{font-size:15px}header,main,footer,nav{padding-left:.9rem;padding-right:.9rem}}
@media print{
nav,button,.skip{display:none}
body{font-size:10pt}
header,main,footer{max-width:none;padding:0}
section,figure,.table{break-inside:avoid-page}
section{break-inside:auto}
h2,h3,dt,dt+dd{break-after:avoid}
h2+p,h2+p+p{break-after:avoid;break-inside:avoid}
.pair,.plots{display:block}
.plots figure{display:inline-block;vertical-align:top;width:48%;margin-right:1.5%}
.plots.small figure{width:31.5%}
figure svg{min-width:0}
figcaption,.table>p{font-size:8pt}
.pair>.table>p{width:auto}
.scroll{overflow:visible}
tr{break-inside:avoid}
table{font-size:8pt}
td,tbody th{white-space:normal;overflow-wrap:anywhere;padding-right:.4rem}
thead th.n{min-width:0}
}
"""

STYLE = (
    f":root{{{_LIGHT}}}@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{_DARK}}}}}"
    f"@media screen{{:root[data-theme=dark]{{{_DARK}}}}}{_RULES.replace(chr(10), '')}"
)
"""The style: dark where the reader's system is, unless ``data-theme`` of the root says otherwise; paper is light."""

SCRIPT = """
document.querySelectorAll('.table').forEach(function(box){
var button=document.createElement('button');button.type='button';button.textContent='Copy table';
button.addEventListener('click',function(){
var text=Array.from(box.querySelectorAll('tr')).map(function(row){
return Array.from(row.cells).map(function(cell){return cell.textContent}).join('\\t')}).join('\\n');
var done=function(){button.textContent='Copied';setTimeout(function(){button.textContent='Copy table'},1500)};
if(navigator.clipboard&&window.isSecureContext){navigator.clipboard.writeText(text).then(done);return}
var area=document.createElement('textarea');area.value=text;document.body.appendChild(area);area.select();
document.execCommand('copy');area.remove();done()});
box.appendChild(button)});
addEventListener('beforeprint',function(){
document.querySelectorAll('details').forEach(function(each){each.open=true})});
"""
"""Buttons that copy a table as tab-separated text, and folded parts opened for print; the page reads well without."""
