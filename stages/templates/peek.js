// Shows the sample under the pointer of a map, and follows a class through all maps of its modality.
for (const gallery of document.querySelectorAll(".gallery")) {
  const about = JSON.parse(gallery.querySelector(".tiles").textContent);
  const peek = gallery.querySelector(".peek");
  const [tile, caption] = peek.children;
  const maps = [...gallery.querySelectorAll(".map .plotly-graph-div")];
  const show = ({ points: [point], event }) => {
    const number = point.customdata;
    tile.hidden = !about.places.length;
    tile.style.backgroundPosition = about.places[number] ?? "";
    caption.textContent = [about.names[number], about.texts[number]].filter(Boolean).join(": ");
    peek.hidden = false;
    const beyond = document.documentElement.clientWidth - peek.offsetWidth - 8;
    peek.style.left = `${Math.max(8, Math.min(event.clientX - peek.offsetWidth / 2, beyond))}px`;
    const above = event.clientY - peek.offsetHeight - 14;
    peek.style.top = `${above > 0 ? above : event.clientY + 14}px`;
  };
  for (const plot of maps) {
    plot.on("plotly_hover", show);
    plot.on("plotly_click", show);
    plot.on("plotly_unhover", () => { peek.hidden = true; });
  }
  addEventListener("scroll", () => { peek.hidden = true; }, { passive: true });
  const buttons = [...gallery.querySelectorAll(".legend button")];
  buttons.forEach((button, number) => button.addEventListener("click", () => {
    const chosen = button.getAttribute("aria-pressed") === "false";
    buttons.forEach((other) => other.setAttribute("aria-pressed", other === button && chosen));
    const opacity = buttons.map((_, k) => (!chosen || k === number ? 1 : 0.08));
    for (const plot of maps) Plotly.restyle(plot, { opacity });
  }));
}
