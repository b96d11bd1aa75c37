// A plot is drawn at the width it finds; this follows what changes without the window, such as a late scroll bar.
const watch = new ResizeObserver((entries) => {
  for (const entry of entries) Plotly.Plots.resize(entry.target.querySelector(".plotly-graph-div"));
});
for (const figure of document.querySelectorAll(".plot")) watch.observe(figure);
