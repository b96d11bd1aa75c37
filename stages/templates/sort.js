// Sorts a table by the column whose heading is pressed: largest first, then smallest first; what is missing stays last.
for (const table of document.querySelectorAll("table.board")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const text = !head.classList.contains("number");
      const now = head.getAttribute("aria-sort");
      const ascending = now ? now === "descending" : text;
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
  });
}
