// Plots take the page's colours: dark with the system, and light, as wide as half a page, on paper.
const root = document.documentElement;
const plots = [...document.querySelectorAll(".plotly-graph-div")];
const own = new Map(plots.map((plot) => [plot, plot.data.map(({ line, fillcolor }, k) => ({
  k, black: (line?.color ?? plot.data[k].marker?.color) === "#000000", band: fillcolor?.startsWith("rgba(0, 0, 0,"),
}))]));
const paint = (size) => {
  const style = getComputedStyle(root);
  const [ink, soft, line, paper, full] = ["--ink", "--soft", "--line", "--paper", "--right"].map((name) => style.getPropertyValue(name).trim());
  const layout = { paper_bgcolor: paper, plot_bgcolor: paper, "font.color": ink, "hoverlabel.bgcolor": paper, ...size };
  for (const axis of ["xaxis", "yaxis"]) Object.assign(layout, { [`${axis}.gridcolor`]: line, [`${axis}.linecolor`]: soft });
  for (const plot of plots) {
    const black = own.get(plot).filter((trace) => trace.black).map(({ k }) => k);
    const bands = own.get(plot).filter((trace) => trace.band).map(({ k }) => k);
    if (black.length) Plotly.restyle(plot, { "line.color": ink, "marker.color": ink }, black);
    if (bands.length) Plotly.restyle(plot, { fillcolor: `color-mix(in srgb, ${ink} 18%, ${paper})` }, bands);
    if (plot.data[0]?.type === "heatmap") Plotly.restyle(plot, { colorscale: [[[0, paper], [1, full]]] });
    Plotly.relayout(plot, layout);
  }
};
const dark = matchMedia("(prefers-color-scheme: dark)");
if (dark.matches) paint({});
dark.addEventListener("change", () => paint({}));
addEventListener("beforeprint", () => { root.dataset.theme = "light"; paint({ width: 340, height: 300 }); });
addEventListener("afterprint", () => { delete root.dataset.theme; paint({ width: null, height: null, autosize: true }); });
