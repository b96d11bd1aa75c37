// Puts times into plots and tables. A frame sends them, by encoder, if it lies beside the page; some encoders have none.
const mean = (found, kind) => found.length ? found.reduce((sum, each) => sum + each[kind], 0) / found.length : null;
const fill = (times) => {
  const timed = (encoders) => encoders.map((encoder) => times[encoder]).filter(Boolean);
  for (const section of document.querySelectorAll("section")) {
    for (const figure of section.querySelectorAll(".plot:is([data-kind=seconds], [data-kind=rate])")) {
      const plot = figure.querySelector(".plotly-graph-div");
      const at = plot.data.map((trace) => mean(timed(trace.meta), figure.dataset.kind));
      figure.hidden = at.every((x) => x === null);
      section.querySelector(".no-times").hidden = !figure.hidden;
      if (!figure.hidden) Plotly.restyle(plot, { x: at.map((x) => [x]) });
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
};
addEventListener("message", ({ source, data }) => {
  if (source === document.querySelector("iframe").contentWindow && data?.times) fill(data.times);
});
