// Puts times into plots and tables. They lie beside the page, in times.js, by encoder; some encoders have none.
const timed = (encoders) => encoders.map((encoder) => globalThis.TIMES?.[encoder]).filter(Boolean);
const mean = (found, kind) => found.length ? found.reduce((sum, each) => sum + each[kind], 0) / found.length : null;
for (const section of document.querySelectorAll("section")) {
  for (const figure of section.querySelectorAll(".plot:is([data-kind=seconds], [data-kind=rate])")) {
    const plot = figure.querySelector(".plotly-graph-div");
    const at = plot.data.map((trace) => mean(timed(trace.meta), figure.dataset.kind));
    figure.hidden = at.every((x) => x === null);
    if (figure.hidden) section.querySelector(".no-times").hidden = false;
    else Plotly.restyle(plot, { x: at.map((x) => [x]) });
  }
  for (const row of section.querySelectorAll("[data-encoders]")) {
    const found = timed(row.dataset.encoders.split(" "));
    for (const cell of found.length ? row.querySelectorAll("td[data-kind]") : []) {
      if (cell.dataset.kind === "machine") {
        cell.textContent = [...new Set(found.map((each) => each.machine))].join("; ");
      } else {
        cell.dataset.value = mean(found, cell.dataset.kind);
        cell.textContent = Number(cell.dataset.value).toLocaleString("en", { maximumSignificantDigits: 4 });
      }
    }
  }
}
