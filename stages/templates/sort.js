// Sorts a table by the column whose heading is pressed: best first, then worst first; what is missing stays last.
for (const table of document.querySelectorAll("table.board")) {
  const heads = [...table.tHead.querySelectorAll("th")];
  const body = table.tBodies[0];
  for (const button of table.querySelectorAll("button.sort")) {
    const head = button.closest("th");
    const column = Number(button.dataset.column);
    button.addEventListener("click", () => {
      const text = !head.classList.contains("number");
      const now = head.getAttribute("aria-sort");
      const ascending = now ? now === "descending" : text || "less" in button.dataset;
      const key = (row) => row.cells[column].dataset.value;
      const order = (one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const difference = text ? a.localeCompare(b) : Number(a) - Number(b);
        return ascending ? difference : -difference;
      };
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      body.append(...[...body.rows].sort(order));
    });
  }
}
