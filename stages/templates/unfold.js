// Shows or hides what a task measures beside its first metric: a task at a time, or all of a table's.
for (const table of document.querySelectorAll("table.leaders")) {
  const buttons = [...table.querySelectorAll("button.unfold")];
  const unfold = (button, open) => {
    const head = button.closest("th");
    button.setAttribute("aria-expanded", open);
    button.textContent = (open ? "−" : "+") + button.dataset.count;
    head.colSpan = open ? head.dataset.all : head.dataset.leads;
    for (const cell of table.querySelectorAll(`[data-more="${button.dataset.group}"]`)) cell.hidden = !open;
  };
  const isOpen = (button) => button.getAttribute("aria-expanded") === "true";
  buttons.forEach((button) => button.addEventListener("click", () => unfold(button, !isOpen(button))));
  const all = document.getElementById(table.getAttribute("aria-describedby")).querySelector(".unfold-all");
  all?.addEventListener("click", () => {
    const open = !isOpen(all);
    all.setAttribute("aria-expanded", open);
    buttons.forEach((button) => unfold(button, open));
  });
}
